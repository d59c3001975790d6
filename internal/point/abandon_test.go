package point_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/pec-milter/pec-milter/internal/point"
)

// TestAbandoned: a repeat need not wait for an attempt that was not carried out,
// and is an attempt of its own; one that may still be carried out is waited for.
func TestAbandoned(t *testing.T) {
	w := newWorld(t)
	submissions := map[string]*mail{
		"accepted": {mario, []string{anna}, message(mario, anna)},
		"refused":  {mario, []string{anna, luca}, message(mario, anna)},
	}
	for name, m := range submissions {
		t.Run(name, func(t *testing.T) {
			w.abandoned(t, &point.Access{Provider: w.alfa.provider}, m, mario)
		})
	}
	t.Run("envelope", func(t *testing.T) {
		w := newWorld(t)
		check(t, w.alfa.submit(&mail{mario, []string{anna}, message(mario, anna)}))
		queued := w.alfa.queue[0]
		w.abandoned(t, &point.Incoming{Provider: w.beta.provider}, &mail{queued.from, []string{anna}, queued.data}, "")
	})
}

func (w *world) abandoned(t *testing.T, door front, m *mail, user string) {
	t.Helper()
	first, err := door.Handle(context.Background(), w.transaction(m, user))
	check(t, err)
	w.now = w.now.Add(time.Second)
	var reply *point.Reply
	if _, err := door.Handle(context.Background(), w.transaction(m, user)); !errors.As(err, &reply) || reply.Code != 451 {
		t.Errorf("while the first may go on: got %v, want 451", err)
	}
	first.Abandoned()
	again, err := door.Handle(context.Background(), w.transaction(m, user))
	if err != nil {
		t.Fatalf("after the first was abandoned: %v", err)
	}
	if again.AddRecipients[0] == first.AddRecipients[0] {
		t.Errorf("outbox recipient %s is that of the void attempt", again.AddRecipients[0])
	}
	check(t, again.Sent(context.Background(), w.now))
	if err := first.Sent(context.Background(), w.now); !errors.Is(err, point.ErrConflict) {
		t.Errorf("Sent of the void attempt: got %v, want %v", err, point.ErrConflict)
	}
}
