package lifetime_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pec-milter/pec-milter/internal/lifetime"
)

// expired is a judge for the server's tests.
func expired(_ context.Context, queueID, recipient string) (bool, error) {
	switch {
	case queueID == "panic":
		panic("of the judge")
	case queueID == "doubt":
		return true, errDown
	}
	return queueID == "old" && recipient != "", nil
}

// start serves on a unix socket, and gives its path.
func start(t *testing.T, judge func(context.Context, string, string) (bool, error)) (*lifetime.Server, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "lifetime.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	s := lifetime.NewServer(lifetime.Config{
		Expired: judge, Now: time.Now, MaxConnections: 10, Log: slog.New(slog.DiscardHandler),
	})
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		if err := <-ended; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return s, path
}

func dial(t *testing.T, path string) net.Conn {
	t.Helper()
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	return conn
}

func question(key string) string {
	text := "pecexpired " + key
	return fmt.Sprintf("%d:%s,", len(text), text)
}

// TestAnswers: several questions on one connection, in any pieces.
func TestAnswers(t *testing.T) {
	_, path := start(t, expired)
	conn := dial(t, path)
	for _, c := range []struct{ key, want string }{
		{"old/x@beta.example", "10:OK EXPIRED,"},
		{"young/x@beta.example", "7:OK LIVE,"},
		{"old/", "7:OK LIVE,"},
		{"/x@beta.example", "7:OK LIVE,"},
		{"doubt/x@beta.example", "18:TEMP not known now,"},
		{"nonsense", "50:TEMP no question of the form MAP QUEUEID/RECIPIENT,"},
		{`old/"a/b c"@beta.example`, "10:OK EXPIRED,"},
	} {
		for _, b := range []byte(question(c.key)) {
			if _, err := conn.Write([]byte{b}); err != nil {
				t.Fatal(err)
			}
		}
		got := make([]byte, len(c.want))
		if _, err := io.ReadFull(conn, got); err != nil || string(got) != c.want {
			t.Errorf("%q is answered with %q (%v), want %q", c.key, got, err, c.want)
		}
	}
}

// malformed are no netstrings that we take.
var malformed = []string{
	"x", ":,", "a:x,", "-1:x,", "01:x,", "00:,", "+1:x,", " 1:x,", "3:abc;", "2049:", "99999999999999999999:", "1 :x,", "3abc,", "\x00",
}

// TestMalformed: the connection ends without an answer, and the server goes on.
func TestMalformed(t *testing.T) {
	_, path := start(t, expired)
	for _, text := range append(malformed, question("panic/x")) {
		conn := dial(t, path)
		if _, err := io.WriteString(conn, text); err != nil {
			t.Fatal(err)
		}
		if answer, err := io.ReadAll(conn); len(answer) > 0 || err != nil && !strings.Contains(err.Error(), "reset") {
			t.Errorf("%q is answered with %q (%v), want the end of the connection", text, answer, err)
		}
	}
	conn := dial(t, path)
	if _, err := io.WriteString(conn, question("old/x@y")); err != nil {
		t.Fatal(err)
	}
	if answer, err := bufio.NewReader(conn).ReadString(','); answer != "10:OK EXPIRED," {
		t.Errorf("afterwards: %q (%v)", answer, err)
	}
}

// TestShutdown: an idle connection ends at once, an answer under way is given.
func TestShutdown(t *testing.T) {
	asked, goOn := make(chan bool), make(chan bool)
	s, path := start(t, func(context.Context, string, string) (bool, error) {
		asked <- true
		<-goOn
		return true, nil
	})
	idle, busy := dial(t, path), dial(t, path)
	if _, err := io.WriteString(busy, question("old/x@y")); err != nil {
		t.Fatal(err)
	}
	<-asked
	ended := make(chan error, 1)
	go func() { ended <- s.Shutdown(context.Background()) }()
	if _, err := idle.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("the idle connection gives %v, want its end", err)
	}
	close(goOn)
	if answer, err := io.ReadAll(busy); string(answer) != "10:OK EXPIRED," || err != nil {
		t.Errorf("the answer under way is %q (%v)", answer, err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// TestShutdownCutsOff: what takes too long is cut off.
func TestShutdownCutsOff(t *testing.T) {
	asked := make(chan bool)
	s, path := start(t, func(ctx context.Context, _, _ string) (bool, error) {
		asked <- true
		<-ctx.Done()
		return false, ctx.Err()
	})
	conn := dial(t, path)
	if _, err := io.WriteString(conn, question("old/x@y")); err != nil {
		t.Fatal(err)
	}
	<-asked
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.Shutdown(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Shutdown = %v, want %v", err, context.Canceled)
	}
}

// oneConn is a listener that gives one connection.
type oneConn struct {
	conns chan net.Conn
	done  chan struct{}
}

func (l *oneConn) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}
func (l *oneConn) Close() error   { return nil }
func (l *oneConn) Addr() net.Addr { return &net.UnixAddr{} }

// FuzzServer: whatever comes, each answer is a netstring that is well formed, there are no
// more of them than commas, and nothing is expired but what the judge says.
func FuzzServer(f *testing.F) {
	for _, text := range malformed {
		f.Add([]byte(text))
	}
	f.Add([]byte(question("old/x@beta.example") + question("young/x@beta.example") + question("doubt/")))
	f.Add([]byte(question("panic/x") + question("old/x")))
	f.Fuzz(func(t *testing.T, sent []byte) {
		l := &oneConn{make(chan net.Conn, 1), make(chan struct{})}
		s := lifetime.NewServer(lifetime.Config{Expired: expired, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
		go func() { _ = s.Serve(l) }()
		ours, theirs := net.Pipe()
		l.conns <- theirs
		go func() {
			_, _ = ours.Write(sent)
			_ = ours.SetReadDeadline(time.Now().Add(time.Second))
		}()
		var got bytes.Buffer
		for buffer := make([]byte, 4096); ; {
			n, err := ours.Read(buffer)
			got.Write(buffer[:n])
			if err != nil || got.Len() > 0 && n == 0 {
				break
			}
			_ = ours.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
		}
		ours.Close()
		close(l.done)
		_ = s.Shutdown(t.Context())
		answers := strings.Split(got.String(), ",")
		if last := answers[len(answers)-1]; last != "" {
			t.Errorf("a piece of an answer: %q", last)
		}
		for _, answer := range answers[:len(answers)-1] {
			var length int
			if _, err := fmt.Sscanf(answer, "%d:", &length); err != nil || !strings.HasSuffix(answer, answer[len(answer)-length:]) || answer[len(answer)-length-1] != ':' {
				t.Errorf("no netstring: %q", answer)
			}
		}
		if strings.Contains(got.String(), "EXPIRED") && !bytes.Contains(sent, []byte("old/")) {
			t.Errorf("%q is answered with %q", sent, got.String())
		}
	})
}
