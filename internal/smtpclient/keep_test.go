package smtpclient

import (
	"context"
	"errors"
	"io"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
)

// again is what a server does for one more message on a connection.
var again = []string{"<MAIL", "250 ok", "<RCPT", "250 ok", "<DATA", "354 go", "<message", "250 taken"}

// first is what it does for the first one.
var first = slices.Concat([]string{"220 hi", "<EHLO", "250 me"}, again)

// playAll serves one connection after the other, and gives the server to call and
// a function that waits for what the n-th one read.
func playAll(t *testing.T, keep int, connections ...[]string) (*Server, func() script) {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "socket")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	done := make(chan script, len(connections))
	go func() {
		for _, steps := range connections {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			seen := serve(t.Context(), conn, steps)
			conn.Close()
			done <- seen
		}
	}()
	server := &Server{Network: "unix", Address: socket, Name: "client.example", Timeout: 20 * time.Second, Keep: keep}
	return server, func() script { return <-done }
}

func TestKeptConnection(t *testing.T) {
	server, seen := playAll(t, 1, slices.Concat(first, again, []string{"<QUIT", "221 bye"}))
	for range 2 {
		if got, err := send(server, text("hello\r\n")); err != nil || got != "taken" {
			t.Fatalf("Send() = %q, %v", got, err)
		}
	}
	server.Close()
	if s := seen(); s.wrong != "" || strings.Join(s.commands, " ") == "" || s.commands[len(s.commands)-1] != "QUIT" {
		t.Errorf("commands = %q, not expected %q: want two messages and QUIT on one connection", s.commands, s.wrong)
	}
}

// TestKeptConnectionClosed: a connection that the server has closed while it waited
// is nobody's fault: the message goes by a new one, and is there once.
func TestKeptConnectionClosed(t *testing.T) {
	for name, end := range map[string][]string{
		"closed":      nil,
		"421 at MAIL": {"<MAIL", "421 4.4.2 timeout"},
		"421 at DATA": {"<MAIL", "250 ok", "<RCPT", "250 ok", "<DATA", "421 4.3.2 going"},
	} {
		t.Run(name, func(t *testing.T) {
			server, seen := playAll(t, 1, slices.Concat(first, end), first)
			if _, err := send(server, text("one\r\n")); err != nil {
				t.Fatal(err)
			}
			if end == nil {
				seen() // it is closed now
			}
			if _, err := send(server, text("two\r\n")); err != nil {
				t.Fatal(err)
			}
			if end != nil {
				seen()
			}
			if got := seen(); got.message != "two\r\n.\r\n" {
				t.Errorf("the second connection got %q", got.message)
			}
		})
	}
}

// TestKeptConnectionRefuses: what the server says of a message holds, and what it
// may have taken is not sent again.
func TestKeptConnectionRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		end   []string
		stage Stage
	}{
		"refused":    {[]string{"<MAIL", "451 4.3.0 queue is full"}, StageMail},
		"reply lost": {[]string{"<MAIL", "250 ok", "<RCPT", "250 ok", "<DATA", "354 go", "<message"}, StageReply},
	} {
		t.Run(name, func(t *testing.T) {
			server, _ := playAll(t, 1, slices.Concat(first, c.end), first)
			if _, err := send(server, text("one\r\n")); err != nil {
				t.Fatal(err)
			}
			_, err := send(server, text("two\r\n"))
			if failed := (*Error)(nil); !errors.As(err, &failed) || failed.Stage != c.stage {
				t.Errorf("Send() = %v, want a failure at %s", err, c.stage)
			}
			if server.idle.take() != nil {
				t.Error("a connection is kept after a failure")
			}
		})
	}
}

// TestKeptAtMost: no more connections wait than may, and none does whose time was
// over.
func TestKeptAtMost(t *testing.T) {
	server, seen := playAll(t, 0, slices.Concat(first, []string{"<QUIT", "221 bye"}))
	if _, err := send(server, text("one\r\n")); err != nil {
		t.Fatal(err)
	}
	if s := seen(); s.wrong != "" || s.commands[len(s.commands)-1] != "QUIT" {
		t.Errorf("commands = %q: want QUIT", s.commands)
	}
	old := &connection{Client: smtp.NewClient(brokenConn(t)), served: maxServed - 1}
	server.idle.keep(old, 1)
	if server.idle.take() != nil {
		t.Error("a connection is kept that has served often enough")
	}
	server, _ = playAll(t, 1, first)
	ctx, cancel := context.WithCancel(context.Background())
	_, err := server.Send(ctx, "a@b.example", "c@d.example", endsContext{cancel})
	if c := server.idle.take(); c != nil {
		t.Errorf("Send() = %v, and a connection that was ended is kept", err)
	}
}

// brokenConn is a connection whose other end is closed.
func brokenConn(t *testing.T) net.Conn {
	ours, theirs := net.Pipe()
	t.Cleanup(func() { ours.Close() })
	theirs.Close()
	return ours
}

// endsContext is a message with whose last byte its time is over.
type endsContext struct{ cancel func() }

// WriteTo is io.WriterTo's.
func (m endsContext) WriteTo(w io.Writer) (int64, error) {
	n, err := io.WriteString(w, "hello\r\n")
	m.cancel()
	return int64(n), err
}
