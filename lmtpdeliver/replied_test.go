package lmtpdeliver

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/pec-milter/pec-milter/internal/point"
)

// TestReplied: each recipient's reply is told, with its code and the time for the
// message; of those to RCPT the refusals alone.
func TestReplied(t *testing.T) {
	d := door{
		recipient: func(_ *point.Transaction, recipient string) error {
			if recipient == "x@elsewhere" {
				return &point.Reply{Code: 550, Status: "5.1.2", Text: "not here"}
			}
			return nil
		},
		deliver: func(context.Context, *point.Transaction) []error {
			return []error{nil, errors.New("no answer"), &point.Reply{Code: 552, Status: "5.2.2", Text: "full"}}
		},
	}
	var mu sync.Mutex
	var replies []string
	now := noon
	server := start(t, d, func(c *Config) {
		c.Clock = func() time.Time {
			mu.Lock()
			defer mu.Unlock()
			now = now.Add(time.Second)
			return now
		}
		c.Replied = func(event string, code int, took time.Duration) {
			mu.Lock()
			defer mu.Unlock()
			replies = append(replies, fmt.Sprint(event, " ", code, " ", took > 0))
		}
	})
	m := server.dial(t)
	m.deliver(message, "a@b", "c@b", "d@b")
	m.say("MAIL FROM:<a@b>", "250")
	m.say("RCPT TO:<x@elsewhere>", "550")
	mu.Lock()
	defer mu.Unlock()
	want := []string{"delivery 250 true", "delivery 451 true", "delivery 552 true", "RCPT 550 false"}
	if !slices.Equal(replies, want) {
		t.Errorf("told of %q, want %q", replies, want)
	}
}
