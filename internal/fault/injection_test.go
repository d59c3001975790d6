package fault

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/pec-milter/pec-milter/internal/effect"
)

// ordered is an injection with an order that can be changed; killed counts.
func ordered(t *testing.T, order *string, killed *int) (*Injection, *bytes.Buffer) {
	t.Helper()
	log := &bytes.Buffer{}
	i, err := NewInjection(func() (string, error) { return *order, nil }, slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	i.kill, i.hang = func() { *killed++ }, 50*time.Millisecond
	return i, log
}

func TestAround(t *testing.T) {
	refused := errors.New("refused")
	for _, c := range []struct {
		name, order string
		fails       error // of the effect itself
		cancelled   bool
		done        bool
		answered    bool
		killed      int
		err         error
	}{
		{name: "no order", done: true, answered: true},
		{name: "another point", order: "store.before:1:err", done: true, answered: true},
		{name: "later", order: "inject.before:2:err", done: true, answered: true},
		{name: "error before", order: "inject.before:1:err", err: ErrInjected},
		{name: "error after", order: "inject.after:1:err", done: true, err: ErrInjected},
		{name: "its own error", done: true, answered: true, fails: refused, err: refused},
		{name: "killed before", order: "inject.before:1:kill", killed: 1, err: ErrInjected},
		{name: "killed after", order: "inject.after:1:kill", killed: 1, done: true, err: ErrInjected},
		{name: "late", order: "inject.before:1:hang", done: true, answered: true},
		{name: "late answer", order: "inject.after:1:hang", done: true, answered: true},
		{name: "late as asked for", order: "inject.before:1:hang:1ms", done: true, answered: true},
		{name: "too late", order: "inject.before:1:hang", cancelled: true, err: context.Canceled},
		{name: "answer too late", order: "inject.after:1:hang", cancelled: true, done: true, err: context.Canceled},
	} {
		t.Run(c.name, func(t *testing.T) {
			killed, done := 0, false
			i, log := ordered(t, &c.order, &killed)
			ctx, cancel := context.WithCancel(context.Background())
			if c.cancelled {
				cancel()
			}
			defer cancel()
			v, err := i.Around(ctx, effect.Inject, func() (any, error) { done = true; return "answer", c.fails })
			if done != c.done || (v == "answer") != c.answered || killed != c.killed {
				t.Errorf("done %v, answer %v, killed %d, want %v, %v, %d", done, v, killed, c.done, c.answered, c.killed)
			}
			if !errors.Is(err, c.err) {
				t.Errorf("error %v, want %v", err, c.err)
			}
			if logged := strings.Contains(log.String(), "fault injected"); logged != strings.HasPrefix(c.order, "inject") && c.name != "later" {
				t.Errorf("log %q", log)
			}
		})
	}
}

// TestOrderChanges: a new order counts afresh, one that cannot be read is none.
func TestOrderChanges(t *testing.T) {
	order, killed := "inject.before:2:err", 0
	i, log := ordered(t, &order, &killed)
	fails := func() bool {
		_, err := i.Around(context.Background(), effect.Inject, func() (any, error) { return nil, nil })
		return err != nil
	}
	steps := []struct {
		order string
		fails bool
	}{
		{"inject.before:2:err", false}, {"inject.before:2:err", true}, {"inject.before:2:err", false},
		{"inject.before:2+:err", false}, {"inject.before:2+:err", true}, {"inject.before:2+:err", true},
		{"nonsense", false}, {"", false}, {"inject.after:1:err", true},
	}
	for n, s := range steps {
		order = s.order
		if got := fails(); got != s.fails {
			t.Errorf("step %d, %q: failed %v, want %v", n+1, s.order, got, s.fails)
		}
	}
	if strings.Count(log.String(), "not understood") != 1 {
		t.Errorf("log %q, want the nonsense told once", log)
	}
}

func TestNewInjectionRefuses(t *testing.T) {
	gone := errors.New("gone")
	if _, err := NewInjection(func() (string, error) { return "", gone }, slog.Default()); !errors.Is(err, gone) {
		t.Errorf("error %v, want that of the source", err)
	}
	if _, err := NewInjection(func() (string, error) { return "x:1:kill", nil }, slog.Default()); err == nil {
		t.Error("an unknown point was taken")
	}
}
