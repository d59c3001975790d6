package lmtpdeliver

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pec-milter/pec-milter/internal/point"
	"github.com/pec-milter/pec-milter/internal/spool"
	"github.com/pec-milter/pec-milter/pec"
)

// noon is what the clock of the tests says.
var noon = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

// door is a delivery door; a nil function accepts.
type door struct {
	recipient func(t *point.Transaction, recipient string) error
	deliver   func(ctx context.Context, t *point.Transaction) []error
}

func (d door) Recipient(_ context.Context, t *point.Transaction, recipient string) error {
	if d.recipient == nil {
		return nil
	}
	return d.recipient(t, recipient)
}

func (d door) Deliver(ctx context.Context, t *point.Transaction) []error {
	if d.deliver == nil {
		return make([]error, len(t.Recipients))
	}
	return d.deliver(ctx, t)
}

// taken is what a door saw of a message; its body is read while it is there.
type taken struct {
	point.Transaction
	header string
	body   string
}

// keep is a door that keeps all messages.
func keep(t *testing.T) (door, func() []taken) {
	var mu sync.Mutex
	var all []taken
	deliver := func(_ context.Context, tr *point.Transaction) []error {
		mu.Lock()
		defer mu.Unlock()
		all = append(all, taken{*tr, tr.Message.Header.String(), readBody(t, tr.Message.Body)})
		return make([]error, len(tr.Recipients))
	}
	return door{deliver: deliver}, func() []taken {
		mu.Lock()
		defer mu.Unlock()
		return all
	}
}

func readBody(t *testing.T, b pec.Body) string {
	body, err := io.ReadAll(io.NewSectionReader(b, 0, b.Size()))
	if err != nil {
		t.Errorf("reading the body: %v", err)
	}
	return string(body)
}

// lockedBuffer is a log that a test may read while it is written.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// running is a server at work.
type running struct {
	*Server
	socket string
	log    *lockedBuffer
}

// start runs a server until the test ends.
func start(t *testing.T, d Door, change ...func(*Config)) *running {
	t.Helper()
	log := new(lockedBuffer)
	c := Config{Door: d, Clock: func() time.Time { return noon }, Log: slog.New(slog.NewTextHandler(log, nil)),
		Spool: &spool.Room{Directory: t.TempDir()}, Timeout: 20 * time.Second}
	for _, f := range change {
		f(&c)
	}
	r := &running{NewServer(c), filepath.Join(t.TempDir(), "lmtp"), log}
	listener, err := net.Listen("unix", r.socket)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- r.Serve(listener) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		r.Shutdown(ctx)
		if err := <-served; err != nil {
			t.Errorf("Serve() = %v, want nil after Shutdown", err)
		}
	})
	return r
}

// mta is an MTA's side of a connection.
type mta struct {
	net.Conn
	t  *testing.T
	in *bufio.Reader
}

// dial connects and says LHLO.
func (r *running) dial(t *testing.T) *mta {
	t.Helper()
	conn, err := net.Dial("unix", r.socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(30 * time.Second))
	m := &mta{conn, t, bufio.NewReader(conn)}
	m.expect("220")
	m.say("LHLO mta.example", "250")
	return m
}

// reply reads one reply, its lines joined.
func (m *mta) reply() string {
	var lines []string
	for {
		line, err := m.in.ReadString('\n')
		if err != nil {
			return strings.Join(append(lines, fmt.Sprint(err)), "|")
		}
		lines = append(lines, strings.TrimSuffix(line, "\r\n"))
		if len(line) < 4 || line[3] != '-' {
			return strings.Join(lines, "|")
		}
	}
}

func (m *mta) expect(prefix string) string {
	m.t.Helper()
	got := m.reply()
	if !strings.HasPrefix(got, prefix) {
		m.t.Fatalf("reply %q, want %s", got, prefix)
	}
	return got
}

func (m *mta) say(command, prefix string) string {
	m.t.Helper()
	io.WriteString(m, command+"\r\n")
	return m.expect(prefix)
}

// envelope says MAIL, RCPT and DATA.
func (m *mta) envelope(recipients ...string) {
	m.t.Helper()
	m.say("MAIL FROM:<Sender@alfa.example>", "250")
	for _, r := range recipients {
		m.say("RCPT TO:<"+r+">", "250")
	}
	m.say("DATA", "354")
}

// deliver gives one message to the recipients and returns their replies.
func (m *mta) deliver(message string, recipients ...string) []string {
	m.t.Helper()
	m.envelope(recipients...)
	go io.WriteString(m, stuffed(message)+".\r\n")
	replies := make([]string, len(recipients))
	for i := range replies {
		replies[i] = m.reply()
	}
	return replies
}

// stuffed doubles the dots at the beginning of lines (RFC 5321 section 4.5.2).
func stuffed(message string) string {
	return strings.TrimPrefix(strings.ReplaceAll("\r\n"+message, "\r\n.", "\r\n.."), "\r\n")
}
