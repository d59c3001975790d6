package main

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"
)

func TestTimer(t *testing.T) {
	now := time.Date(2026, 3, 14, 9, 26, 53, 0, time.UTC)
	var log bytes.Buffer
	var issued int
	var cleared []time.Time
	timer := &timer{
		clock: func() time.Time { return now }, logger: slog.New(slog.NewTextHandler(&log, nil)),
		timeouts: func(context.Context) error { issued++; return errors.New("no MTA") },
		expire: func(_ context.Context, at time.Time) (int, error) {
			cleared = append(cleared, at)
			return 7, errors.New("no disk")
		},
	}
	for _, step := range []time.Duration{0, time.Minute, 24*time.Hour - 2*time.Minute, time.Minute} {
		now = now.Add(step)
		timer.work(t.Context())
	}
	if issued != 4 {
		t.Errorf("looked for time-outs %d times, want 4", issued)
	}
	if len(cleared) != 2 || cleared[1].Sub(cleared[0]) != expirePeriod {
		t.Errorf("quarantine cleared at %v, want twice, a day apart", cleared)
	}
	for text, want := range map[string]int{"no MTA": 4, "no disk": 2, "count=7": 2} {
		if got := strings.Count(log.String(), text); got != want {
			t.Errorf("%d lines with %q in the log, want %d:\n%s", got, text, want, &log)
		}
	}
}

// Without an antivirus there is no quarantine; being stopped is no error.
func TestTimerStopped(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var log bytes.Buffer
	timer := &timer{
		clock: time.Now, logger: slog.New(slog.NewTextHandler(&log, nil)),
		timeouts: func(ctx context.Context) error { return ctx.Err() },
	}
	timer.work(ctx)
	if log.Len() > 0 {
		t.Errorf("log has %q, want nothing", &log)
	}
}

func TestTimerStartAndStop(t *testing.T) {
	const times = 3
	worked := make(chan struct{})
	count, finished := 0, false
	timer := &timer{clock: time.Now, logger: slog.New(slog.DiscardHandler), timeouts: func(ctx context.Context) error {
		worked <- struct{}{}
		if count++; count == times {
			<-ctx.Done()
			time.Sleep(20 * time.Millisecond)
			finished = true
		}
		return nil
	}}
	stop := timer.start(t.Context(), time.Millisecond)
	for n := range times {
		select {
		case <-worked:
		case <-time.After(10 * time.Second):
			t.Fatalf("worked %d times in 10 s, want once at the start and then every millisecond", n)
		}
	}
	stop()
	if !finished {
		t.Error("stop() did not wait for what was under way")
	}
}

// TestTimerPanics: a panic is a line in the log, and the timer goes on.
func TestTimerPanics(t *testing.T) {
	var log bytes.Buffer
	timer := &timer{
		clock: time.Now, logger: slog.New(slog.NewTextHandler(&log, nil)),
		timeouts: func(context.Context) error { panic("no such thing") },
	}
	timer.work(t.Context())
	timer.work(t.Context())
	if got := strings.Count(log.String(), "panic: no such thing"); got != 2 {
		t.Errorf("%d panics in the log, want 2:\n%s", got, &log)
	}
}
