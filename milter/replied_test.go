package milter

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/pec-milter/pec-milter/internal/point"
)

// told collects what a server tells of its replies; its clock is a second later
// each time.
type told struct {
	mu      sync.Mutex
	replies []string
	now     time.Time
}

func (r *told) watch(c *Config) {
	c.Replied = func(event string, code int, took time.Duration) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.replies = append(r.replies, fmt.Sprint(event, " ", code, " ", took > 0))
	}
	c.Clock = func() time.Time {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.now = r.now.Add(time.Second)
		return r.now
	}
}

// TestReplied: each refusal and each message is told, with its code; a message also
// with its time.
func TestReplied(t *testing.T) {
	errs := []error{nil, &point.Reply{Code: 554, Status: "5.7.1", Text: "no"}, fmt.Errorf("no token")}
	door := &fakeDoor{
		recipient: func(tr *point.Transaction, r string) (point.Handling, error) {
			if r == "full@d" {
				return point.Certify, &point.Reply{Code: 452, Status: "4.5.3", Text: "later"}
			}
			return point.Certify, nil
		},
		handle: func(context.Context, *point.Transaction) (*point.Verdict, error) {
			err := errs[0]
			errs = errs[1:]
			return &point.Verdict{}, err
		},
	}
	r := &told{now: testTime}
	path, _ := serve(t, door, r.watch)
	m := connect(t, path)
	for range 3 {
		m.send(simple())
	}
	refused := simple()
	refused.recipients = []string{"full@d"}
	m.send(refused)
	want := []string{"end of message 250 true", "end of message 554 true", "end of message 451 true", "RCPT 452 false"}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !slices.Equal(r.replies[:min(4, len(r.replies))], want) {
		t.Errorf("told of %q, want %q", r.replies, want)
	}
}

// TestLastLine: the last line of a message says its queue id, when, what the MTA was
// told, how long it took, and the PEC msgid.
func TestLastLine(t *testing.T) {
	door := &fakeDoor{handle: func(_ context.Context, tr *point.Transaction) (*point.Verdict, error) {
		tr.ID = "opec1@alfa.example"
		return &point.Verdict{}, nil
	}}
	r := &told{now: testTime}
	path, logged := serve(t, door, r.watch)
	connect(t, path).send(simple())
	line := regexp.MustCompile(`msg=done queue_id=\w+ event="end of message" result=250 ms=\d+ id=opec1@alfa.example answer=`)
	if !line.MatchString(logged.String()) {
		t.Errorf("log = %s, want a line %s", logged, line)
	}
}
