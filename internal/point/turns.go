package point

import (
	"context"
	"sync"
)

// turns lets one caller at a time through for each name; the others wait. The
// zero value is ready.
type turns struct {
	mu    sync.Mutex
	names map[string]*turn
}

// turn is the place in which one caller stands; callers counts those who wait
// too, so that the last one clears the name away.
type turn struct {
	place   chan struct{}
	callers int
}

// take waits for the caller's turn. It returns the error of ctx if that ends
// first; otherwise done must be called.
func (q *turns) take(ctx context.Context, name string) (done func(), err error) {
	q.mu.Lock()
	if q.names == nil {
		q.names = map[string]*turn{}
	}
	t := q.names[name]
	if t == nil {
		t = &turn{place: make(chan struct{}, 1)}
		q.names[name] = t
	}
	t.callers++
	q.mu.Unlock()
	select {
	case t.place <- struct{}{}:
		return func() { <-t.place; q.leave(name, t) }, nil
	case <-ctx.Done():
		q.leave(name, t)
		return nil, ctx.Err()
	}
}

func (q *turns) leave(name string, t *turn) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if t.callers--; t.callers == 0 {
		delete(q.names, name)
	}
}
