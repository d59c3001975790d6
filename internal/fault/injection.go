// Package fault makes the effects of a provider's doors, and their sockets, fail
// where a test asks for it, in a daemon built for fault injection.
//
// It is in no daemon that serves mail: cmd imports it under a build tag only.
package fault

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/pec-milter/pec-milter/internal/effect"
)

// HangTime is how long a Hang lasts.
const HangTime = time.Minute

// ErrInjected is the error of an effect that was made to fail.
var ErrInjected = errors.New("injected fault")

// Injection is the effect.Interceptor of a real daemon: it makes the one fault that is
// asked for now. It is safe for concurrent use.
type Injection struct {
	ask func() (string, error)
	log *slog.Logger

	mu      sync.Mutex
	asked   string // the text of order
	order   Order
	reached int // how often order's point was, since it was asked for

	kill func() // replaced in tests
	hang time.Duration
}

// NewInjection makes an injection. ask gives the order (see ParseOrder) that
// stands at the time of each call; when it changes, counting begins afresh. The
// error is that of the first order; a later one that cannot be read is logged and
// asks for nothing.
func NewInjection(ask func() (string, error), log *slog.Logger) (*Injection, error) {
	text, err := ask()
	if err != nil {
		return nil, err
	}
	order, err := ParseOrder(text)
	if err != nil {
		return nil, err
	}
	return &Injection{ask: ask, log: log, asked: text, order: order, kill: killSelf, hang: HangTime}, nil
}

func killSelf() {
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {} // until it has its effect
}

// Around is effect.Interceptor.
func (i *Injection) Around(ctx context.Context, e effect.Effect, do func() (any, error)) (any, error) {
	if err := i.reach(ctx, before(string(e))); err != nil {
		return nil, err
	}
	v, err := do()
	if lost := i.reach(ctx, after(string(e))); lost != nil {
		return nil, lost
	}
	return v, err
}

// reach makes the fault that is due at a point, if one is; the error is the
// fault's.
func (i *Injection) reach(ctx context.Context, point string) error {
	order, n := i.due(point)
	if order == (Order{}) {
		return nil
	}
	i.log.Info("fault injected", "point", point, "time", n, "act", order.Act)
	switch order.Act {
	case Kill:
		i.kill()
	case Hang:
		return i.wait(ctx, point, cmp.Or(order.Length, i.hang))
	}
	return fmt.Errorf("%w at %s", ErrInjected, point)
}

// wait hangs. What comes back late is no error.
func (i *Injection) wait(ctx context.Context, point string, length time.Duration) error {
	select {
	case <-ctx.Done():
		return fmt.Errorf("%w: %s hung: %w", ErrInjected, point, ctx.Err())
	case <-time.After(length):
		return nil
	}
}

// due counts that a point is reached, and gives the order that is due there with
// the count.
func (i *Injection) due(point string) (Order, int) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.renew()
	if i.order.Point != point {
		return Order{}, 0
	}
	i.reached++
	if !i.order.due(i.reached) {
		return Order{}, 0
	}
	return i.order, i.reached
}

// renew takes the order that stands now.
func (i *Injection) renew() {
	text, err := i.ask()
	if err == nil && text == i.asked {
		return
	}
	order, wrong := ParseOrder(text)
	if err := errors.Join(err, wrong); err != nil {
		i.log.Info("order for a fault not understood, none is injected", "error", err)
	}
	i.asked, i.order, i.reached = text, order, 0
}
