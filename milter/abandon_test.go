package milter

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	gomilter "github.com/d--j/go-milter"

	"github.com/pec-milter/pec-milter/internal/point"
)

// order notes what happens, one after the other.
type order struct {
	mu     sync.Mutex
	events []string
}

func (o *order) add(event string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.events = append(o.events, event)
}

// TestAbandoned: a verdict that is not carried out is abandoned once, when nothing
// of it goes on any more; one for which Sent is called is not. (RS-12)
func TestAbandoned(t *testing.T) {
	type ask func(context.Context, *point.Transaction, *order) (*point.Verdict, error)
	sent := func(work func(context.Context) error) func(context.Context, time.Time) error {
		return func(ctx context.Context, _ time.Time) error { return work(ctx) }
	}
	tests := []struct {
		name  string
		door  ask
		reply string
		want  []string
	}{
		{"carried out", func(context.Context, *point.Transaction, *order) (*point.Verdict, error) {
			return &point.Verdict{Sent: sent(func(context.Context) error { return nil })}, nil
		}, "accept", nil},
		{"sent fails", func(context.Context, *point.Transaction, *order) (*point.Verdict, error) {
			return &point.Verdict{Sent: sent(func(context.Context) error { return errInside })}, nil
		}, temporary, nil},
		{"sent too late", func(context.Context, *point.Transaction, *order) (*point.Verdict, error) {
			return &point.Verdict{Sent: sent(func(context.Context) error { time.Sleep(time.Hour); return nil })}, nil
		}, temporary, nil},
		{"change fails", func(_ context.Context, tr *point.Transaction, _ *order) (*point.Verdict, error) {
			return replaceThen(tr, func() error { return errors.New("input/output error") })
		}, temporary, []string{"answered", "abandoned"}},
		{"verdict too late", func(ctx context.Context, _ *point.Transaction, o *order) (*point.Verdict, error) {
			<-ctx.Done()
			time.Sleep(time.Hour)
			o.add("decided")
			return &point.Verdict{}, nil
		}, temporary, []string{"answered", "decided", "abandoned"}},
		{"error too late", func(ctx context.Context, _ *point.Transaction, _ *order) (*point.Verdict, error) {
			<-ctx.Done()
			time.Sleep(time.Hour)
			return nil, errInside
		}, temporary, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var happened order
				door := &fakeDoor{handle: func(ctx context.Context, tr *point.Transaction) (*point.Verdict, error) {
					verdict, err := tt.door(ctx, tr, &happened)
					if verdict != nil {
						verdict.Abandoned = func() { time.Sleep(time.Second); happened.add("abandoned") }
					}
					return verdict, err
				}}
				network := make(pipes)
				startServer(t, network, door, io.Discard)
				m := connect(t, "", gomilter.WithDialer(network), gomilter.WithReadTimeout(2*time.Second))
				if a := m.send(simple()); a.reply != tt.reply {
					t.Errorf("answer is %q, want %q", a.reply, tt.reply)
				}
				if tt.want != nil {
					happened.add("answered")
				}
				time.Sleep(2 * time.Hour)
				synctest.Wait()
				if !slices.Equal(happened.events, tt.want) {
					t.Errorf("happened: %q, want %q", happened.events, tt.want)
				}
			})
		})
	}
}
