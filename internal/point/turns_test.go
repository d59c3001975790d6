package point

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestTurns(t *testing.T) {
	var q turns
	var inside [2]atomic.Int32
	var all sync.WaitGroup
	for n := range 200 {
		all.Go(func() {
			done, err := q.take(context.Background(), string(rune('a'+n%2)))
			if err != nil {
				t.Error(err)
				return
			}
			if got := inside[n%2].Add(1); got != 1 {
				t.Errorf("%d callers inside one name", got)
			}
			inside[n%2].Add(-1)
			done()
		})
	}
	all.Wait()
	if len(q.names) != 0 {
		t.Errorf("names left over: %d", len(q.names))
	}
}

func TestTurnsGivenUp(t *testing.T) {
	var q turns
	done, err := q.take(context.Background(), "a")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := q.take(ctx, "a"); !errors.Is(err, context.Canceled) {
		t.Errorf("take: got %v, want context.Canceled", err)
	}
	if _, err := q.take(context.Background(), "b"); err != nil {
		t.Errorf("another name: %v", err)
	}
	done()
	if _, err := q.take(context.Background(), "a"); err != nil {
		t.Errorf("after the first is done: %v", err)
	}
}

// leases is a State that grants leases, and keeps them until they are released or
// their time is over.
type leases struct {
	State
	mu   sync.Mutex
	held map[Key]*time.Time // until when
	asks int
}

func (l *leases) Lease(_ context.Context, key Key, ttl time.Duration) (func(), bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asks++
	if until := l.held[key]; until != nil && time.Now().Before(*until) {
		return nil, false, nil
	}
	until := time.Now().Add(ttl)
	l.held[key] = &until
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.held[key] == &until {
			delete(l.held, key)
		}
	}, true, nil
}

// TestTurnsOfNodes: deliveries into one mailbox do not overlap, on whichever node
// they are; those into another one do not wait.
func TestTurnsOfNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := &leases{held: map[Key]*time.Time{}}
		nodes := []*Provider{{State: shared, Shared: true}, {State: shared, Shared: true}}
		start := time.Now()
		var inside [2]atomic.Int32
		var all sync.WaitGroup
		for n := range 80 {
			all.Go(func() {
				done, err := nodes[n%2].turn(t.Context(), string(rune('a'+n/2%2)))
				if err != nil {
					t.Error(err)
					return
				}
				if got := inside[n/2%2].Add(1); got != 1 {
					t.Errorf("%d deliveries into one mailbox at once", got)
				}
				time.Sleep(50 * time.Millisecond)
				inside[n/2%2].Add(-1)
				done()
			})
		}
		all.Wait()
		// 40 deliveries into each mailbox, each as long as a store and a pause at most.
		if took, most := time.Since(start), 40*(50*time.Millisecond+turnPause); took > most {
			t.Errorf("80 deliveries took %v, want at most %v", took, most)
		}
		if len(shared.held) != 0 {
			t.Errorf("%d leases left over", len(shared.held))
		}
	})
}

// TestTurnOfDeadNode: a delivery does not wait for ever for a node that died in its
// turn, and the mailbox is free again soon.
func TestTurnOfDeadNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := &leases{held: map[Key]*time.Time{}}
		dead, alive := &Provider{State: shared, Shared: true}, &Provider{State: shared, Shared: true}
		if _, err := dead.turn(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		var reply *Reply
		if _, err := alive.turn(t.Context(), "a"); !errors.As(err, &reply) || reply.Code != 451 {
			t.Errorf("turn: got %v, want 451", err)
		}
		if took := time.Since(start); took != turnPatience {
			t.Errorf("the answer took %v, want %v", took, turnPatience)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := alive.turn(ctx, "a"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("turn: got %v, want %v", err, context.DeadlineExceeded)
		}
		time.Sleep(turnTime)
		done, err := alive.turn(t.Context(), "a")
		if err != nil {
			t.Fatalf("after a minute: %v", err)
		}
		done()
		if len(alive.mailboxes.names) != 0 {
			t.Errorf("names left over: %d", len(alive.mailboxes.names))
		}
	})
}

// TestTurnCost: where no other node is in the way a turn costs two questions to a
// state that is shared, its release included, and none to one that is not.
func TestTurnCost(t *testing.T) {
	for _, shared := range []bool{false, true} {
		state := &leases{held: map[Key]*time.Time{}}
		p := &Provider{State: state, Shared: shared}
		done, err := p.turn(t.Context(), "a")
		if err != nil {
			t.Fatal(err)
		}
		held := len(state.held)
		done()
		want := 0
		if shared {
			want = 1
		}
		if state.asks != want || held != want || len(state.held) != 0 {
			t.Errorf("shared %v: asked for %d leases, held %d, then %d, want %d, %d, 0", shared, state.asks, held, len(state.held), want, want)
		}
	}
}
