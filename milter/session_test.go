package milter

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	gomilter "github.com/d--j/go-milter"

	"github.com/pec-milter/pec-milter/internal/point"
)

// A panic costs one message a 451, and is counted; no other session sees
// anything of it. (RS-11)
func TestPanic(t *testing.T) {
	bad := simple()
	bang := func(tr *point.Transaction) {
		if tr.ReversePath == bad.sender {
			panic("bang")
		}
	}
	doors := map[string]*fakeDoor{
		"MAIL": {mail: func(tr *point.Transaction) (point.Handling, error) { bang(tr); return point.Certify, nil }},
		"RCPT": {recipient: func(tr *point.Transaction, _ string) (point.Handling, error) { bang(tr); return point.Certify, nil }},
		"end of message": {handle: func(_ context.Context, tr *point.Transaction) (*point.Verdict, error) {
			bang(tr)
			return &point.Verdict{}, nil
		}},
		"writing the body": {handle: func(_ context.Context, tr *point.Transaction) (*point.Verdict, error) {
			return replaceThen(tr, func() error { bang(tr); return nil })
		}},
	}
	for name, door := range doors {
		t.Run(name, func(t *testing.T) {
			path, logged := serve(t, door)
			other := connect(t, path)
			other.Mail("good@alfa.example", "")
			for n := range 2 {
				if a := connect(t, path).send(bad); a.reply != temporary {
					t.Errorf("answer is %q, want %q", a.reply, temporary)
				}
				number := fmt.Sprintf("panic (number %d since the start): bang", n+1)
				if got := logged.String(); !strings.Contains(got, number) || !strings.Contains(got, "session_test.go") {
					t.Errorf("log has no %q with its place:\n%s", number, got)
				}
			}
			if a, err := other.Rcpt("dest@beta.example", ""); err != nil || a.Type != gomilter.ActionContinue {
				t.Errorf("answer in the session beside it is %v, %v, want continue", a, err)
			}
			good := simple()
			good.sender = "good@alfa.example"
			if a := connect(t, path).send(good); a.reply != "accept" {
				t.Errorf("answer in the next session is %q, want accept", a.reply)
			}
		})
	}
}

func TestUntouched(t *testing.T) {
	untouched := func(yes bool) point.Handling {
		if yes {
			return point.Untouched
		}
		return point.Certify
	}
	asked := false
	door := &fakeDoor{
		mail: func(tr *point.Transaction) (point.Handling, error) {
			return untouched(tr.ReversePath == "ordinary@x"), nil
		},
		recipient: func(_ *point.Transaction, r string) (point.Handling, error) {
			return untouched(strings.HasPrefix(r, "ordinary")), nil
		},
		handle: func(context.Context, *point.Transaction) (*point.Verdict, error) {
			asked = true
			return &point.Verdict{Discard: true}, nil
		},
	}
	path, logged := serve(t, door)
	m := connect(t, path)
	tests := []struct {
		name       string
		sender     string
		recipients []string
		want       string
		wantAsked  bool
	}{
		{"at MAIL", "ordinary@x", []string{"a@b"}, "accept", false},
		{"at RCPT", "a@b", []string{"ordinary1@x", "ordinary2@x"}, "accept", false},
		{"not", "a@b", []string{"certified@x"}, "discard", true},
		{"one recipient passes over a fault of the door", "a@b", []string{"certified@x", "ordinary@x"}, "discard", true},
	}
	for _, tt := range tests { // all on one connection
		t.Run(tt.name, func(t *testing.T) {
			asked, m.t = false, t
			got := m.send(message{tt.sender, tt.recipients, "A: b\r\n", "c\r\n"})
			if got.reply != tt.want || len(got.changes) != 0 || asked != tt.wantAsked {
				t.Errorf("answer is %+v, Handle asked %v, want %q and %v", got, asked, tt.want, tt.wantAsked)
			}
			m.Abort(nil)
		})
	}
	if want := "door handles recipient ordinary@x otherwise"; !strings.Contains(logged.String(), want) {
		t.Errorf("log has no %q:\n%s", want, logged)
	}
}

// Several messages on one connection, with an abort where Postfix and Sendmail
// send one and without: none sees anything of another. (SM-03)
func TestSeveralMessages(t *testing.T) {
	var sent atomic.Int32
	door := &fakeDoor{handle: func(_ context.Context, tr *point.Transaction) (*point.Verdict, error) {
		size := strconv.FormatInt(tr.Message.Body.Size(), 10)
		if len(tr.Recipients) != 1 || tr.ReversePath != size || tr.Message.Header.String() != "Size: "+size+"\r\n" {
			return nil, fmt.Errorf("mixed up: %+v", tr)
		}
		return &point.Verdict{Sent: func(context.Context, time.Time) error { sent.Add(1); return nil }}, nil
	}}
	path, logged := serve(t, door)
	m := connect(t, path)
	tests := []struct {
		size   int
		before func()
		aborts int
	}{
		{5, func() {}, 1},
		{3 << 20, func() {}, 0},
		{3<<20 + 1, func() {}, 0},
		{6, func() { // a client that goes back to the start in the middle
			m.Mail("lost@x", "")
			m.Rcpt("lost@x", "")
			m.DataStart()
			m.HeaderField("Lost", "yes", nil)
			m.Abort(nil)
		}, 2},
		{7, func() {}, 0},
	}
	for i, tt := range tests {
		tt.before()
		size := strconv.Itoa(tt.size)
		a := m.send(message{size, []string{"c@d"}, "Size: " + size + "\r\n", strings.Repeat("x", tt.size)})
		if a.reply != "accept" {
			t.Fatalf("answer to message %d is %q, want accept; log:\n%s", i, a.reply, logged)
		}
		for range tt.aborts {
			m.Abort(nil)
		}
	}
	if got := sent.Load(); int(got) != len(tests) {
		t.Errorf("%d messages were sent, want %d", got, len(tests))
	}
}

// TestTooLarge is case FM-18: a message over the hard bound (RFC 6109 section 3.1.2).
func TestTooLarge(t *testing.T) {
	asked := false
	door := &fakeDoor{handle: func(context.Context, *point.Transaction) (*point.Verdict, error) {
		asked = true
		return &point.Verdict{}, nil
	}}
	path, _ := serve(t, door, func(c *Config) { c.MaxSize = 2 << 20 })
	m := connect(t, path)
	tests := []struct {
		name, header, body, want string
	}{
		{"body at the bound", "A: b\r\n", strings.Repeat("x", 2<<20), "accept"},
		{"body over it", "A: b\r\n", strings.Repeat("x", 2<<20+1), "552 5.3.4 message is too large, the limit is 2097152 bytes"},
		{"header", strings.Repeat("A: "+strings.Repeat("x", 50_000)+"\r\n", 90), "", "552 5.3.4 message header is too large"},
		{"number of fields", strings.Repeat("A:\r\n", maxFields+1), "", "552 5.3.4 message header is too large"},
		{"the next message", "A: b\r\n", "c", "accept"},
	}
	for _, tt := range tests { // all on one connection
		t.Run(tt.name, func(t *testing.T) {
			asked, m.t = false, t
			got := m.send(message{"a@b", []string{"c@d"}, tt.header, tt.body})
			if got.reply != tt.want || asked != (tt.want == "accept") {
				t.Errorf("answer is %q, Handle asked %v, want %q", got.reply, asked, tt.want)
			}
		})
	}
}

func TestNoSpool(t *testing.T) {
	path, logged := serve(t, &fakeDoor{}, func(c *Config) { c.Spool.Directory = filepath.Join(c.Spool.Directory, "gone") })
	msg := simple()
	msg.body = strings.Repeat("x", 2<<20)
	if a := connect(t, path).send(msg); a.reply != temporary {
		t.Errorf("answer is %q, want %q", a.reply, temporary)
	}
	if !strings.Contains(logged.String(), "creating a spool file") || !strings.Contains(logged.String(), "queue_id=4bQ1z") {
		t.Errorf("log does not tell the cause and the queue id:\n%s", logged)
	}
}

// The body of a message is nowhere in memory, neither on its way in nor out.
func TestMemory(t *testing.T) {
	const size = 100 << 20
	var before, taken, written int64
	door := &fakeDoor{handle: func(_ context.Context, tr *point.Transaction) (*point.Verdict, error) {
		taken = heap()
		reads := 0
		return replaceThen(tr, func() error {
			if reads++; reads%500 == 0 { // every 32 MB
				written = max(written, heap())
			}
			return nil
		})
	}}
	path, logged := serve(t, door)
	before = heap()
	got := rawMessage(t, path, size)
	if got < size {
		t.Errorf("the new body has %d bytes, want more than %d; log:\n%s", got, size, logged)
	}
	if written == 0 {
		t.Error("the heap was not measured while the new body was written")
	}
	if grown := max(taken, written) - before; grown > 8<<20 {
		t.Errorf("heap has grown by %d bytes", grown)
	}
}

// heap is what is in use.
func heap() int64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}

// No file stays behind in the spool directory, also not while a message is there.
func TestNothingLeft(t *testing.T) {
	var directory string
	door := &fakeDoor{handle: func(context.Context, *point.Transaction) (*point.Verdict, error) {
		entries, err := fs.ReadDir(os.DirFS(directory), ".")
		if len(entries) != 0 {
			return nil, errors.New("there is a file in the spool directory")
		}
		return &point.Verdict{}, err
	}}
	path, logged := serve(t, door, func(c *Config) { directory = c.Spool.Directory })
	msg := simple()
	msg.body = strings.Repeat("x", 2<<20)
	if a := connect(t, path).send(msg); a.reply != "accept" {
		t.Errorf("answer is %q, want accept; log:\n%s", a.reply, logged)
	}
}

// The one time of a transaction is that of its end.
func TestTime(t *testing.T) {
	var now atomic.Int64
	var atMail, atEnd time.Time
	door := &fakeDoor{
		mail: func(tr *point.Transaction) (point.Handling, error) { atMail = tr.Time; return point.Certify, nil },
		handle: func(_ context.Context, tr *point.Transaction) (*point.Verdict, error) {
			atEnd = tr.Time
			return &point.Verdict{}, nil
		},
	}
	path, _ := serve(t, door, func(c *Config) { c.Clock = func() time.Time { return time.Unix(now.Load(), 0) } })
	m := connect(t, path)
	now.Store(100)
	m.Mail("a@b", "")
	m.Rcpt("c@d", "")
	m.DataStart()
	m.HeaderEnd()
	now.Store(200)
	m.BodyReadFrom(strings.NewReader("x"))
	if atMail.Unix() != 100 || atEnd.Unix() != 200 {
		t.Errorf("time is %d at MAIL and %d at the end, want 100 and 200", atMail.Unix(), atEnd.Unix())
	}
}
