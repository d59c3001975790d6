package lmtpdeliver

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/pec-milter/pec-milter/internal/point"
)

// Deliveries over the bound wait; then they stay in the queue. (RS-13)
func TestMaxConcurrent(t *testing.T) {
	busy, done := make(chan struct{}), make(chan struct{})
	d, _ := keep(t)
	d.deliver = func(context.Context, *point.Transaction) []error {
		busy <- struct{}{}
		<-done
		return []error{nil}
	}
	r := start(t, d, func(c *Config) { c.MaxConcurrent, c.Timeout = 1, 4*time.Second })
	first := make(chan []string)
	m := r.dial(t)
	go func() { first <- m.deliver(message, "a@b") }()
	<-busy
	if replies := r.dial(t).deliver(message, "c@d"); !strings.HasPrefix(replies[0], "451 4.3.0 ") {
		t.Errorf("reply over the bound = %q, want 451", replies[0])
	}
	if log := r.log.String(); !strings.Contains(log, "mta.max_concurrent") {
		t.Errorf("log does not name the setting:\n%s", log)
	}
	close(done)
	if replies := <-first; !strings.HasPrefix(replies[0], "250 ") {
		t.Errorf("reply within the bound = %q, want 250", replies[0])
	}
}

// A full spool keeps the message in the queue. (FP-46, RS-13)
func TestSpoolFull(t *testing.T) {
	d, _ := keep(t)
	r := start(t, d, func(c *Config) { c.Spool.Total = 100 })
	m := r.dial(t)
	if replies := m.deliver(message+strings.Repeat("0123456789abcd\r\n", 10), "a@b"); !strings.HasPrefix(replies[0], "451 4.3.0 ") {
		t.Errorf("reply = %q, want 451", replies[0])
	}
	if log := r.log.String(); !strings.Contains(log, "mta.max_spool") {
		t.Errorf("log does not name the setting:\n%s", log)
	}
	if replies := m.deliver(message, "a@b"); !strings.HasPrefix(replies[0], "250 ") {
		t.Errorf("next reply = %q, want 250", replies[0])
	}
}
