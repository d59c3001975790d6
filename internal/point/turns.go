package point

import (
	"context"
	"sync"
	"time"
)

// The times of a turn where several nodes deliver into one mailbox.
const (
	// turnTime is after how long a turn ends by itself: so long the mailbox waits for
	// a node that died. A delivery that takes longer may overlap with another.
	turnTime = time.Minute
	// turnPatience is how long a delivery waits for other nodes before it goes back
	// to the queue.
	turnPatience = 20 * time.Second
	// turnPause is between two questions whether the turn of another node is over.
	turnPause = 20 * time.Millisecond
)

// turn waits until no other delivery into a mailbox is under way: in this process,
// and where nodes share the state in none of them. It returns an error for which
// the queue tries again; otherwise done must be called.
func (p *Provider) turn(ctx context.Context, mailbox string) (done func(), err error) {
	next, err := p.mailboxes.take(ctx, mailbox)
	if err != nil || !p.Shared {
		return next, err
	}
	release, err := p.turnOfNode(ctx, hashKey("mailbox", []byte(mailbox)))
	if err != nil {
		next()
		return nil, err
	}
	return func() { release(); next() }, nil
}

// turnOfNode takes the lease of a mailbox. One delivery of each node asks for it,
// for the others wait behind that one.
func (p *Provider) turnOfNode(ctx context.Context, key Key) (release func(), err error) {
	pause := time.NewTicker(turnPause)
	defer pause.Stop()
	tooLong := time.NewTimer(turnPatience)
	defer tooLong.Stop()
	for {
		release, ok, err := p.State.Lease(ctx, key, turnTime)
		if ok || err != nil {
			return release, err
		}
		select {
		case <-pause.C:
		case <-tooLong.C:
			return nil, replyMailboxBusy
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

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
