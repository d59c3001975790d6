package lmtpdeliver

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/pec-milter/pec-milter/internal/point"
)

const message = "Received: from a (b [192.0.2.1])\r\n\tby mx.beta.example (Postfix) with ESMTPS id 4Zq1\r\n\tfor <U@beta.example>; now\r\nSubject: x\r\n\r\nbody\r\n"

func TestTransaction(t *testing.T) {
	d, seen := keep(t)
	m := start(t, d).dial(t)
	for _, reply := range m.deliver(message, "User.Name@Beta.example", `"a b"@beta.example`) {
		if !strings.HasPrefix(reply, "250 2.1.5 ") {
			t.Errorf("reply = %q, want 250 2.1.5", reply)
		}
	}
	got := seen()[0]
	if want := []string{"User.Name@Beta.example", `"a b"@beta.example`}; !reflect.DeepEqual(got.Recipients, want) {
		t.Errorf("recipients = %q, want %q", got.Recipients, want)
	}
	header, body, _ := strings.Cut(message, "\r\n\r\n")
	if got.header != header+"\r\n" || got.body != body || got.BodyDigest != sha256.Sum256([]byte(body)) {
		t.Errorf("message = %q, %q, digest %x, want that of %q", got.header, got.body, got.BodyDigest, message)
	}
	if got.ReversePath != "Sender@alfa.example" || !got.Time.Equal(noon) || got.QueueID != "4Zq1" || got.User != "" {
		t.Errorf("transaction = %+v", got.Transaction)
	}
}

// TestReplies: several messages on one connection, each with all kinds of
// results.
func TestReplies(t *testing.T) {
	secret := errors.New("disk /var/x: full")
	for _, c := range []struct {
		name    string
		results []error
		want    []string
	}{
		{"all well", []error{nil, nil}, []string{"250 2.1.5 <r0@b> done", "250 2.1.5 <r1@b> done"}},
		{"mixed", []error{nil, &point.Reply{Code: 550, Status: "5.1.1", Text: "no such user"}, &point.Reply{Code: 451, Status: "4.2.0", Text: "later"}, secret},
			[]string{"250 2.1.5 <r0@b> done", "550 5.1.1 <r1@b> no such user", "451 4.2.0 <r2@b> later", "451 4.3.0 <r3@b> temporary failure, try again later"}},
		{"wrapped reply", []error{fmt.Errorf("delivering: %w", &point.Reply{Code: 552, Status: "5.2.2", Text: "full"})}, []string{"552 5.2.2 <r0@b> full"}},
		{"a 250 of its own", []error{&point.Reply{Code: 250, Status: "2.0.0", Text: "had it"}}, []string{"250 2.0.0 <r0@b> had it"}},
		{"a 421 must not end the session", []error{&point.Reply{Code: 421, Status: "4.3.2", Text: "store goes"}, nil}, []string{"451 4.3.2 <r0@b> store goes", "250 2.1.5 <r1@b> done"}},
		{"no code", []error{&point.Reply{}}, []string{"451 4.3.0 <r0@b> temporary failure, try again later"}},
		{"354", []error{&point.Reply{Code: 354}}, []string{"451 4.3.0 <r0@b> temporary failure, try again later"}},
		{"no status", []error{&point.Reply{Code: 550, Text: "x"}}, []string{"550 5.0.0 <r0@b> x"}},
		{"status of another class", []error{&point.Reply{Code: 550, Status: "4.1.1", Text: "x"}}, []string{"550 5.0.0 <r0@b> x"}},
		{"status that is none", []error{&point.Reply{Code: 450, Status: "4.-1.x", Text: "x"}}, []string{"450 4.0.0 <r0@b> x"}},
		{"text of several lines", []error{&point.Reply{Code: 550, Status: "5.0.0", Text: "a\r\n250 b\x00"}}, []string{"550 5.0.0 <r0@b> a  250 b "}},
		{"too few results", []error{}, []string{"451 4.3.0 <r0@b> temporary failure, try again later"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := start(t, door{deliver: func(context.Context, *point.Transaction) []error { return c.results }})
			m := server.dial(t)
			var recipients []string
			for i := range c.want {
				recipients = append(recipients, fmt.Sprintf("r%d@b", i))
			}
			for range 2 {
				if got := m.deliver(message, recipients...); !reflect.DeepEqual(got, c.want) {
					t.Errorf("replies = %q, want %q", got, c.want)
				}
			}
			m.say("QUIT", "221")
			if log := server.log.String(); len(c.results) == 4 && !strings.Contains(log, secret.Error()) {
				t.Errorf("log = %q, want %q in it", log, secret)
			}
		})
	}
}

func TestLogBeginsWithTheQueueID(t *testing.T) {
	server := start(t, door{deliver: func(_ context.Context, tr *point.Transaction) []error {
		tr.ID = "opec1@a"
		return nil
	}})
	server.dial(t).deliver(message, "r@b")
	want := `msg="temporary failure" queue_id=4Zq1 event=delivery id=opec1@a result=451 ms=0 recipient=r@b error="door gave 0 results for 1 recipients"`
	if log := server.log.String(); !strings.Contains(log, want) {
		t.Errorf("log = %q, want %q", log, want)
	}
}

// TestSameRecipientTwice: each RCPT has its own reply, in its place.
func TestSameRecipientTwice(t *testing.T) {
	results := []error{nil, &point.Reply{Code: 550, Status: "5.1.1", Text: "x"}, &point.Reply{Code: 451, Status: "4.0.0", Text: "claimed"}, nil}
	server := start(t, door{deliver: func(_ context.Context, tr *point.Transaction) []error {
		if want := []string{"a@b", "c@b", "a@b", "A@b"}; !reflect.DeepEqual(tr.Recipients, want) {
			t.Errorf("recipients = %q, want %q", tr.Recipients, want)
		}
		return results
	}})
	want := []string{"250 2.1.5 <a@b> done", "550 5.1.1 <c@b> x", "451 4.0.0 <a@b> claimed", "250 2.1.5 <A@b> done"}
	if got := server.dial(t).deliver(message, "a@b", "c@b", "a@b", "A@b"); !reflect.DeepEqual(got, want) {
		t.Errorf("replies = %q, want %q", got, want)
	}
}

func TestRecipient(t *testing.T) {
	d, seen := keep(t)
	d.recipient = func(tr *point.Transaction, recipient string) error {
		switch recipient {
		case "no@b":
			return &point.Reply{Code: 550, Status: "5.1.2", Text: "not ours"}
		case "broken@b":
			return errors.New("sql: locked")
		case "panic@b":
			panic("boom")
		case "second@b":
			if !reflect.DeepEqual(tr.Recipients, []string{"first@b"}) {
				t.Errorf("recipients so far = %q, want first@b", tr.Recipients)
			}
		}
		return nil
	}
	server := start(t, d)
	m := server.dial(t)
	m.say("MAIL FROM:<>", "250")
	for _, c := range [][2]string{
		{"no@b", "550 5.1.2 not ours"}, {"first@b", "250"}, {"panic@b", "451 4.3.0 temporary failure"},
		{"broken@b", "451 4.3.0 temporary failure"}, {"second@b", "250"},
	} {
		m.say("RCPT TO:<"+c[0]+">", c[1])
	}
	m.say("DATA", "354")
	io.WriteString(m, ".\r\n")
	m.expect("250 2.1.5 <first@b>")
	m.expect("250 2.1.5 <second@b>")
	if got := seen()[0]; got.ReversePath != "" || len(got.Recipients) != 2 {
		t.Errorf("transaction = %+v, want <> and two recipients", got.Transaction)
	}
	for _, want := range []string{"boom", "sql: locked", "not ours"} {
		if log := server.log.String(); !strings.Contains(log, want) {
			t.Errorf("log = %q, want %q in it", log, want)
		}
	}
}

// TestPanic: everybody gets 451, another session does not notice, and the
// session itself goes on. (RS-11)
func TestPanic(t *testing.T) {
	inside, leave := make(chan struct{}), make(chan struct{})
	server := start(t, door{deliver: func(_ context.Context, tr *point.Transaction) []error {
		if tr.Recipients[0] == "slow@b" {
			close(inside)
			<-leave
			return []error{nil}
		}
		if tr.Recipients[0] == "panic@b" {
			tr.Recipients = nil
			panic("boom")
		}
		return []error{nil}
	}})
	slow, other := make(chan []string), server.dial(t)
	go func() { slow <- other.deliver(message, "slow@b") }()
	<-inside
	m := server.dial(t)
	for i, reply := range m.deliver(message, "panic@b", "x@b") {
		if !strings.HasPrefix(reply, "451 4.3.0 ") {
			t.Errorf("reply %d = %q, want 451 4.3.0", i, reply)
		}
	}
	if got := m.deliver(message, "x@b"); got[0] != "250 2.1.5 <x@b> done" {
		t.Errorf("reply after the panic = %q, want 250", got)
	}
	close(leave)
	if got := <-slow; got[0] != "250 2.1.5 <slow@b> done" {
		t.Errorf("reply in the other session = %q, want 250", got)
	}
	if log := server.log.String(); !strings.Contains(log, ": boom") || !strings.Contains(log, "server_test.go") {
		t.Errorf("log = %q, want the panic and its place", log)
	}
}

// TestContextEnds: the door's time is bounded, and its context dies with the
// transaction.
func TestContextEnds(t *testing.T) {
	contexts := make(chan context.Context, 1)
	server := start(t, door{deliver: func(ctx context.Context, _ *point.Transaction) []error {
		contexts <- ctx
		<-ctx.Done()
		return []error{ctx.Err()}
	}}, func(c *Config) { c.Timeout = 300 * time.Millisecond })
	if got := server.dial(t).deliver(message, "a@b"); !strings.HasPrefix(got[0], "451 4.3.0 ") {
		t.Errorf("reply = %q, want 451", got)
	}
	if err := (<-contexts).Err(); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("context ended with %v, want its deadline", err)
	}
}
