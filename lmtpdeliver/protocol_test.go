package lmtpdeliver

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/pec-milter/pec-milter/internal/point"
)

// TestExtensions: what is announced is what is done; FM-35, no CHUNKING.
func TestExtensions(t *testing.T) {
	m := start(t, door{}).dial(t)
	got := m.say("LHLO mta.example", "250")
	for _, want := range []string{"|250-8BITMIME|", "|250-PIPELINING|", "|250-ENHANCEDSTATUSCODES|"} {
		if !strings.Contains(got, want) {
			t.Errorf("LHLO = %q, want %s", got, want)
		}
	}
	for _, no := range []string{"CHUNKING", "SMTPUTF8", "BINARYMIME", "DSN", "STARTTLS", "AUTH"} {
		if strings.Contains(got, no) {
			t.Errorf("LHLO = %q, want no %s", got, no)
		}
	}
	m.say("MAIL FROM:<a@b> SMTPUTF8", "504")
	m.say("MAIL FROM:<a@b> BODY=BINARYMIME", "504")
	m.say("MAIL FROM:<a@b> BODY=8BITMIME SIZE=1000", "250")
}

// TestBDAT is case FM-35: who uses it without an offer is refused, and a message that breaks
// off in its last chunk is not taken for whole.
func TestBDAT(t *testing.T) {
	d, seen := keep(t)
	server := start(t, d)
	m := server.dial(t)
	m.say("MAIL FROM:<a@b>", "250")
	m.say("RCPT TO:<c@b>", "250")
	io.WriteString(m, "BDAT 9 LAST\r\nA: b\r\n\r\nx")
	m.expect("502 5.5.1 ")
	m.deliver(message, "a@b")
	m.say("MAIL FROM:<a@b>", "250")
	m.say("RCPT TO:<c@b>", "250")
	io.WriteString(m, "BDAT 1000 LAST\r\nA: b\r\n\r\nx")
	m.Close()
	server.wait(t)
	if n := len(seen()); n != 1 {
		t.Errorf("door was asked to deliver %d messages, want the one by DATA", n)
	}
}

// wait shuts down, and so waits for all sessions.
func (r *running) wait(t *testing.T) {
	t.Helper()
	if err := r.Shutdown(soon(t)); err != nil {
		t.Fatalf("Shutdown() = %v", err)
	}
}

// soon ends before the server closes idle connections by itself.
func soon(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestNestedMail(t *testing.T) {
	d, seen := keep(t)
	m := start(t, d).dial(t)
	m.say("MAIL FROM:<first@a>", "250")
	m.say("RCPT TO:<a@b>", "250")
	m.say("MAIL FROM:<second@a>", "503 5.5.1")
	m.say("RSET", "250")
	m.say("RCPT TO:<a@b>", "502")
	m.deliver(message, "c@b")
	if got := seen()[0]; got.ReversePath != "Sender@alfa.example" || len(got.Recipients) != 1 {
		t.Errorf("transaction = %+v, want nothing of those before", got.Transaction)
	}
}

func TestPipelining(t *testing.T) {
	d, seen := keep(t)
	m := start(t, d).dial(t)
	io.WriteString(m, strings.Repeat("MAIL FROM:<a@a>\r\nRCPT TO:<a@b>\r\nDATA\r\nA: b\r\n\r\nx\r\n.\r\n", 3)+"QUIT\r\n")
	for range 3 {
		m.expect("250")
		m.expect("250")
		m.expect("354")
		m.expect("250 2.1.5")
	}
	m.expect("221")
	if n := len(seen()); n != 3 {
		t.Errorf("%d messages, want 3", n)
	}
}

// TestConnectionCut: nothing is delivered of a message that did not end.
func TestConnectionCut(t *testing.T) {
	for _, sent := range []string{
		"MAIL FROM:<a@a>\r\n", "MAIL FROM:<a@a>\r\nRCPT TO:<a@b>\r\n", "MAIL FROM:<a@a>\r\nRCPT TO:<a@b>\r\nDATA\r\n",
		"MAIL FROM:<a@a>\r\nRCPT TO:<a@b>\r\nDATA\r\nA: b\r\n", "MAIL FROM:<a@a>\r\nRCPT TO:<a@b>\r\nDATA\r\nA: b\r\n\r\nbody\r\n",
		"MAIL FROM:<a@a>\r\nRCPT TO:<a@b>\r\nDATA\r\nA: b\r\n\r\nbody\r\n.", "MAIL FROM:<a@a>\r\nRCPT TO:<a@b>\r\nDATA\r\nA: b\r\n\r\nbody\r\n.\r",
	} {
		d, seen := keep(t)
		server := start(t, d)
		m := server.dial(t)
		io.WriteString(m, sent)
		m.Conn.(*net.UnixConn).CloseWrite()
		io.Copy(io.Discard, m)
		if n := len(seen()); n != 0 {
			t.Errorf("%q: door was asked to deliver %d messages, want none", sent, n)
		}
	}
}

// TestStalledMessage: what comes after the time is over is not taken for
// commands: it is a stranger's text.
func TestStalledMessage(t *testing.T) {
	d, seen := keep(t)
	server := start(t, d, func(c *Config) { c.Timeout = 300 * time.Millisecond })
	m := server.dial(t)
	m.envelope("a@b")
	io.WriteString(m, "A: b\r\n\r\nfirst half\r\n")
	time.Sleep(600 * time.Millisecond)
	io.WriteString(m, "RSET\r\nMAIL FROM:<forged@b>\r\nRCPT TO:<a@b>\r\nDATA\r\n\r\n.\r\n")
	if got, _ := io.ReadAll(m); len(got) != 0 {
		t.Errorf("replies = %q, want none: the connection is closed", got)
	}
	if n := len(seen()); n != 0 {
		t.Errorf("door was asked to deliver %d messages, want none", n)
	}
}

func TestTooLarge(t *testing.T) {
	d, seen := keep(t)
	m := start(t, d, func(c *Config) { c.MaxSize = 1 << 20 }).dial(t)
	exact := "A: b\r\n\r\n" + strings.Repeat("x", 1<<20-2) + "\r\n"
	for _, reply := range m.deliver(exact+"y\r\n", "a@b", "c@b") {
		if !strings.HasPrefix(reply, "552 5.3.4 ") {
			t.Errorf("reply = %q, want 552 5.3.4", reply)
		}
	}
	if got := m.deliver(exact, "a@b"); got[0] != "250 2.1.5 <a@b> done" {
		t.Errorf("reply to a message of the largest size = %q, want 250", got)
	}
	if n := len(seen()); n != 1 {
		t.Errorf("door was asked to deliver %d messages, want 1", n)
	}
	m.say("MAIL FROM:<a@a> SIZE=900000000", "552 5.3.4")
	m.say("MAIL FROM:<a@a> SIZE=1048576", "250")
}

// TestSpoolFails: a full disk is the MTA's to wait for, and the next message
// begins where it begins.
func TestSpoolFails(t *testing.T) {
	d, seen := keep(t)
	server := start(t, d, func(c *Config) { c.Spool.Directory += "/none" })
	m := server.dial(t)
	if got := m.deliver("A: b\r\n\r\n"+strings.Repeat("QUIT\r\n", 1<<20), "a@b"); !strings.HasPrefix(got[0], "451 4.3.0 ") {
		t.Errorf("reply = %q, want 451", got)
	}
	if got := m.deliver(message, "a@b"); got[0] != "250 2.1.5 <a@b> done" {
		t.Errorf("reply to the next message = %q, want 250", got)
	}
	if n := len(seen()); n != 1 {
		t.Errorf("door was asked to deliver %d messages, want 1", n)
	}
	if log := server.log.String(); !strings.Contains(log, "no such file") {
		t.Errorf("log = %q, want the cause", log)
	}
}

// TestSpoolIsFreed: nothing is left of a large message.
func TestSpoolIsFreed(t *testing.T) {
	server := start(t, door{})
	m := server.dial(t)
	m.deliver("A: b\r\n\r\n"+strings.Repeat("x", 2<<20)+"\r\n", "a@b")
	m.say("NOOP", "250")
	if left, err := os.ReadDir(server.config.Spool.Directory); err != nil || len(left) != 0 {
		t.Errorf("spool directory holds %v, %v, want nothing", left, err)
	}
	if n := openSpoolFiles(t, server.config.Spool.Directory); n != 0 {
		t.Errorf("%d spool files are open, want 0", n)
	}
}

func openSpoolFiles(t *testing.T, directory string) (n int) {
	t.Helper()
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skipf("no /proc here: %v", err)
	}
	for _, f := range files {
		if target, _ := os.Readlink("/proc/self/fd/" + f.Name()); strings.HasPrefix(target, directory) {
			n++
		}
	}
	return n
}

// TestShutdown: an idle connection is closed, a message under way gets its
// reply.
func TestShutdown(t *testing.T) {
	inside, leave := make(chan struct{}), make(chan struct{})
	server := start(t, door{deliver: func(context.Context, *point.Transaction) []error {
		close(inside)
		<-leave
		return []error{nil}
	}})
	idle, working := server.dial(t), server.dial(t)
	got := make(chan []string)
	go func() { got <- working.deliver(message, "a@b") }()
	<-inside
	down := make(chan error)
	go func() { down <- server.Shutdown(soon(t)) }()
	if reply := idle.reply(); !strings.Contains(reply, "EOF") {
		t.Errorf("idle connection reads %q, want its end", reply)
	}
	close(leave)
	if reply := <-got; reply[0] != "250 2.1.5 <a@b> done" {
		t.Errorf("reply under way = %q, want 250", reply)
	}
	if err := <-down; err != nil {
		t.Errorf("Shutdown() = %v, want nil", err)
	}
	if conn, err := net.Dial("unix", server.socket); err == nil {
		conn.Close()
		t.Error("a connection is taken after Shutdown")
	}
}

// TestShutdownInAHurry: the door's context ends with that of Shutdown.
func TestShutdownInAHurry(t *testing.T) {
	inside, left := make(chan struct{}), make(chan struct{})
	server := start(t, door{deliver: func(ctx context.Context, _ *point.Transaction) []error {
		close(inside)
		<-ctx.Done()
		close(left)
		return []error{ctx.Err()}
	}})
	m := server.dial(t)
	go m.deliver(message, "a@b")
	<-inside
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	if err := server.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Shutdown() = %v, want the end of its time", err)
	}
	<-left
}

func TestServeAfterShutdown(t *testing.T) {
	server := start(t, door{})
	server.wait(t)
	l, err := net.Listen("unix", t.TempDir()+"/socket")
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Serve(l); err != nil {
		t.Errorf("Serve() = %v, want nil", err)
	}
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept() = %v, want a closed listener", err)
	}
}
