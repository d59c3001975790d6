package point_test

import (
	"context"
	"testing"
	"time"

	"github.com/pec-milter/pec-milter/internal/point"
)

// counted counts the questions to a state: over a network each is a round trip.
type counted struct {
	point.State
	questions int
}

func (c *counted) Lease(ctx context.Context, key point.Key, ttl time.Duration) (func(), bool, error) {
	c.questions++
	release, ok, err := c.State.Lease(ctx, key, ttl)
	if !ok || err != nil {
		return release, ok, err
	}
	return func() { c.questions++; release() }, true, nil
}

// TestQuestionsOfADelivery: what a delivery and its receipt ask of the state; two
// more where nodes share it, for the turn at the mailbox.
func TestQuestionsOfADelivery(t *testing.T) {
	for shared, want := range map[bool]int{false: 4, true: 6} {
		w := newWorld(t)
		check(t, w.beta.submit(&mail{anna, []string{mario}, message(anna, mario)}))
		envelope := w.beta.queue[0]
		check(t, w.alfa.receive(&mail{envelope.from, []string{mario}, envelope.data}))
		state := &counted{State: w.alfa.provider.State}
		w.alfa.provider.State, w.alfa.provider.Shared = state, shared
		check(t, w.alfa.send(&mail{envelope.from, []string{mario}, envelope.data}))
		expect(t, "mailbox of mario", w.alfa.kinds(mario), "posta-certificata")
		if state.questions != want {
			t.Errorf("shared %v: %d questions, want %d", shared, state.questions, want)
		}
	}
}
