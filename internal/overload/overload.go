// Package overload keeps what a door does at once within bounds: messages that
// are worked on, connections that are open. What is over the bounds is told to
// come again, and stays in the queue it came from. It also knows which connections
// rest, for a shutdown.
package overload

import (
	"context"
	"fmt"
	"time"
)

// Places are the messages that a door may work on at once. A nil *Places has no
// bound.
type Places struct {
	places chan struct{}
	wait   time.Duration
}

// NewPlaces makes n places; who finds none waits for at most that long.
func NewPlaces(n int, wait time.Duration) *Places {
	return &Places{make(chan struct{}, n), wait}
}

// Enter takes a place; leave, called once, gives it back. The error says that
// there was none in time, or that ctx ended: the message must come again.
func (p *Places) Enter(ctx context.Context) (leave func(), err error) {
	if p == nil {
		return func() {}, nil
	}
	select { // a place that is free is taken, whatever ctx says
	case p.places <- struct{}{}:
		return p.leave, nil
	default:
	}
	waited := time.NewTimer(p.wait)
	defer waited.Stop()
	select {
	case p.places <- struct{}{}:
		return p.leave, nil
	case <-waited.C:
		return nil, fmt.Errorf("overload: %d messages are at work (mta.max_concurrent) and none was done in %v; "+
			"look what they wait for, or raise the setting", cap(p.places), p.wait)
	case <-ctx.Done():
		return nil, fmt.Errorf("overload: %d messages are at work (mta.max_concurrent): %w", cap(p.places), ctx.Err())
	}
}

func (p *Places) leave() { <-p.places }
