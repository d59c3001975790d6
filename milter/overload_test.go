package milter

import (
	"context"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	gomilter "github.com/d--j/go-milter"

	"github.com/pec-milter/pec-milter/internal/point"
)

// sendTogether sends n messages over connections of their own, and gives the
// answers.
func sendTogether(t *testing.T, network pipes, n int) []string {
	t.Helper()
	answers := make([]string, n)
	var all sync.WaitGroup
	for i := range n {
		m := connect(t, "", gomilter.WithDialer(network), gomilter.WithReadTimeout(2*time.Second))
		all.Go(func() { answers[i] = m.send(simple()).reply })
	}
	all.Wait()
	return answers
}

// The door is asked about so many messages at once; the others wait, and the MTA
// waits with them. (RS-13)
func TestMaxConcurrent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var at, most atomic.Int32
		door := &fakeDoor{handle: func(context.Context, *point.Transaction) (*point.Verdict, error) {
			most.Store(max(most.Load(), at.Add(1)))
			time.Sleep(10 * time.Second)
			at.Add(-1)
			return &point.Verdict{}, nil
		}}
		network := make(pipes)
		startServer(t, network, door, io.Discard, func(c *Config) { c.MaxConcurrent, c.ContentTimeout = 2, 100*time.Second })
		for i, answer := range sendTogether(t, network, 8) {
			if answer != "accept" {
				t.Errorf("answer %d is %q, want accept", i, answer)
			}
		}
		if most.Load() != 2 {
			t.Errorf("%d messages were handled at once, want 2", most.Load())
		}
	})
}

// Who waits longer than half of our time gets 451. A door that ignores its
// deadline keeps its place: others must not pile up behind it. (RS-12)
func TestOverload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		door := &fakeDoor{handle: func(context.Context, *point.Transaction) (*point.Verdict, error) {
			time.Sleep(125 * time.Second)
			return &point.Verdict{}, nil
		}}
		network, logged := make(pipes), &lockedBuffer{}
		startServer(t, network, door, logged, func(c *Config) { c.MaxConcurrent, c.ContentTimeout = 1, 100*time.Second })
		start := time.Now()
		for i, answer := range sendTogether(t, network, 2) {
			if answer != temporary {
				t.Errorf("answer %d is %q, want %q", i, answer, temporary)
			}
		}
		if took := time.Since(start); took < 80*time.Second || took > 82*time.Second {
			t.Errorf("the answers took %v, want 80s", took)
		}
		if answers := sendTogether(t, network, 1); answers[0] != temporary {
			t.Errorf("while the late door is still at work the answer is %q, want %q", answers[0], temporary)
		}
		if took := time.Since(start); took < 120*time.Second || took > 124*time.Second {
			t.Errorf("the answers took %v, want 120s", took)
		}
		if got := strings.Count(logged.String(), "none was done in 40s"); got != 2 {
			t.Errorf("log tells the overload %d times, want 2:\n%s", got, logged)
		}
		time.Sleep(time.Minute)
	})
}

// A full spool is a temporary failure, and no more than that. (FP-46, RS-13)
func TestSpoolFull(t *testing.T) {
	path, logged := serve(t, &fakeDoor{}, func(c *Config) { c.Spool.Total = 3 << 20 })
	large := simple()
	large.body = strings.Repeat("0123456789abcde\n", 4<<16)
	m := connect(t, path)
	if a := m.send(large); a.reply != temporary {
		t.Errorf("answer is %q, want %q", a.reply, temporary)
	}
	if !strings.Contains(logged.String(), "mta.max_spool") {
		t.Errorf("log does not name the setting:\n%s", logged)
	}
	large.body = large.body[:2<<20]
	if a := m.send(large); a.reply != "accept" {
		t.Errorf("the next answer is %q, want accept", a.reply)
	}
}
