package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/pec-milter/pec-milter/internal/point"
)

// sentLog has intents that were sent, or an error.
type sentLog struct {
	intents []*point.Intent
	err     error
}

func (l *sentLog) Unfinished(context.Context) ([]*point.Intent, error) { return l.intents, l.err }

func (l *sentLog) send(at time.Time) {
	l.intents = append(l.intents, &point.Intent{SentAt: at, Facts: point.Facts{QueueID: fmt.Sprintf("Q%d", len(l.intents))}})
}

// TestUnfinished: at the start all that are late are named, and then, once an
// hour, those that became late meanwhile; none of them twice, none left out
// because the database did not answer.
func TestUnfinished(t *testing.T) {
	start := time.Date(2026, 3, 14, 9, 26, 53, 0, time.UTC)
	now := start
	var text bytes.Buffer
	log := slog.New(slog.NewTextHandler(&text, nil))
	sent := &sentLog{}
	sent.send(start.Add(-72 * time.Hour))
	sent.send(start.Add(-queueLifetime))
	sent.send(start.Add(-queueLifetime + time.Minute))
	sent.send(start.Add(-queueLifetime + time.Hour))
	sent.send(start.Add(-time.Second))
	u := &unfinished{log: sent, logger: log}
	if err := u.report(t.Context(), now); err != nil {
		t.Fatal(err)
	}
	timer := &timer{clock: func() time.Time { return now }, logger: log, unfinished: u,
		timeouts: func(context.Context) error { return nil }}
	for _, step := range []struct {
		after time.Duration
		err   error
		want  []string
	}{
		{0, nil, []string{"Q0", "Q1"}}, // by the start
		{59 * time.Minute, nil, nil},
		{time.Hour, errors.New("no database"), nil},
		{time.Hour + time.Minute, nil, []string{"Q2", "Q3"}},
		{23 * time.Hour, nil, nil},
		{24 * time.Hour, nil, []string{"Q4"}},
		{72 * time.Hour, nil, nil},
	} {
		now, sent.err = start.Add(step.after), step.err
		timer.work(t.Context())
		if got := queueIDs(text.String()); !slices.Equal(got, step.want) {
			t.Errorf("after %v: %q reported, want %q:\n%s", step.after, got, step.want, &text)
		}
		if failed := bytes.Contains(text.Bytes(), []byte("no database")); failed != (step.err != nil) {
			t.Errorf("after %v: the error is in the log: %v", step.after, failed)
		}
		text.Reset()
	}
}

func queueIDs(text string) (ids []string) {
	for _, m := range regexp.MustCompile(`level=ERROR.* queue_id=(\w+)`).FindAllStringSubmatch(text, -1) {
		ids = append(ids, m[1])
	}
	return ids
}
