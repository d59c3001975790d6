package effect

import (
	"context"
	"time"

	"github.com/pec-milter/pec-milter/internal/point"
)

// The effects of point.Records.
const (
	LatestIntent  Effect = "latest-intent"
	Submission    Effect = "submission"
	Intent        Effect = "intent"
	AddIntent     Effect = "add-intent"
	MarkSent      Effect = "mark-sent"
	MarkCommitted Effect = "mark-committed"
	PutVerdict    Effect = "put-verdict"
	Verdict       Effect = "verdict"
	BeginDelivery Effect = "begin-delivery"
	PutOutcome    Effect = "put-outcome"
	Outcome       Effect = "outcome"
	Waits         Effect = "waits"
	DecideFirst   Effect = "decide-first"
	DecideLast    Effect = "decide-last"
	Over          Effect = "over"
)

type records struct {
	point.Records
	i Interceptor
}

func (r records) LatestIntent(ctx context.Context, key point.Key) (*point.Intent, error) {
	return around(ctx, r.i, LatestIntent, func() (*point.Intent, error) { return r.Records.LatestIntent(ctx, key) })
}

func (r records) Submission(ctx context.Context, msgid string) (*point.Intent, error) {
	return around(ctx, r.i, Submission, func() (*point.Intent, error) { return r.Records.Submission(ctx, msgid) })
}

func (r records) Intent(ctx context.Context, id point.TransactionID) (*point.Intent, error) {
	return around(ctx, r.i, Intent, func() (*point.Intent, error) { return r.Records.Intent(ctx, id) })
}

func (r records) AddIntent(ctx context.Context, intent, last *point.Intent, events ...point.Event) error {
	return try(ctx, r.i, AddIntent, func() error { return r.Records.AddIntent(ctx, intent, last, events...) })
}

func (r records) MarkSent(ctx context.Context, id point.TransactionID, at time.Time, verdicts ...point.Judgement) error {
	return try(ctx, r.i, MarkSent, func() error { return r.Records.MarkSent(ctx, id, at, verdicts...) })
}

func (r records) MarkCommitted(ctx context.Context, id point.TransactionID, at time.Time, claims []point.Key, waits ...point.Wait) ([]bool, error) {
	return around(ctx, r.i, MarkCommitted, func() ([]bool, error) { return r.Records.MarkCommitted(ctx, id, at, claims, waits...) })
}

func (r records) PutVerdict(ctx context.Context, verdict point.Judgement, events ...point.Event) error {
	return try(ctx, r.i, PutVerdict, func() error { return r.Records.PutVerdict(ctx, verdict, events...) })
}

func (r records) Verdict(ctx context.Context, digest, certificate [32]byte) (*point.Judgement, error) {
	return around(ctx, r.i, Verdict, func() (*point.Judgement, error) { return r.Records.Verdict(ctx, digest, certificate) })
}

func (r records) BeginDelivery(ctx context.Context, key point.Key, events ...point.Event) (bool, error) {
	return around(ctx, r.i, BeginDelivery, func() (bool, error) { return r.Records.BeginDelivery(ctx, key, events...) })
}

func (r records) PutOutcome(ctx context.Context, key point.Key, outcome point.Outcome, settled point.Settlement, events ...point.Event) (point.Outcome, error) {
	return around(ctx, r.i, PutOutcome, func() (point.Outcome, error) {
		return r.Records.PutOutcome(ctx, key, outcome, settled, events...)
	})
}

func (r records) Outcome(ctx context.Context, key point.Key) (*point.Outcome, error) {
	return around(ctx, r.i, Outcome, func() (*point.Outcome, error) { return r.Records.Outcome(ctx, key) })
}

func (r records) Waits(ctx context.Context, before time.Time) ([]point.Wait, error) {
	return around(ctx, r.i, Waits, func() ([]point.Wait, error) { return r.Records.Waits(ctx, before) })
}

func (r records) DecideFirst(ctx context.Context, w point.Wait, at time.Time) (point.Wait, error) {
	return around(ctx, r.i, DecideFirst, func() (point.Wait, error) { return r.Records.DecideFirst(ctx, w, at) })
}

func (r records) DecideLast(ctx context.Context, w point.Wait, at time.Time) (point.Wait, error) {
	return around(ctx, r.i, DecideLast, func() (point.Wait, error) { return r.Records.DecideLast(ctx, w, at) })
}

func (r records) Over(ctx context.Context, w point.Wait) error {
	return try(ctx, r.i, Over, func() error { return r.Records.Over(ctx, w) })
}
