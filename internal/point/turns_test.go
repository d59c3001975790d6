package point

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
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
