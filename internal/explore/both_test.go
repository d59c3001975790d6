package explore

import (
	"context"
	"time"

	"github.com/pec-milter/pec-milter/internal/point"
)

func (b *both) Append(ctx context.Context, events ...point.Event) error {
	return b.check("Append", b.model.Append(ctx, events...), b.real.Append(ctx, events...))
}

func (b *both) Logged(ctx context.Context, kind point.EventKind, noticeID string) (bool, error) {
	m, merr := b.model.Logged(ctx, kind, noticeID)
	r, rerr := b.real.Logged(ctx, kind, noticeID)
	return compare(b, "Logged", m, merr, r, rerr)
}

func (b *both) Failed(ctx context.Context, id string) (bool, error) {
	m, merr := b.model.Failed(ctx, id)
	r, rerr := b.real.Failed(ctx, id)
	return compare(b, "Failed", m, merr, r, rerr)
}

func (b *both) Ended(ctx context.Context, queueID, messageID, recipient string) (bool, error) {
	m, merr := b.model.Ended(ctx, queueID, messageID, recipient)
	r, rerr := b.real.Ended(ctx, queueID, messageID, recipient)
	return compare(b, "Ended", m, merr, r, rerr)
}

func (b *both) LatestIntent(ctx context.Context, key point.Key) (*point.Intent, error) {
	m, merr := b.model.LatestIntent(ctx, key)
	r, rerr := b.real.LatestIntent(ctx, key)
	return compare(b, "LatestIntent", m, merr, r, rerr)
}

func (b *both) Submission(ctx context.Context, msgid string) (*point.Intent, error) {
	m, merr := b.model.Submission(ctx, msgid)
	r, rerr := b.real.Submission(ctx, msgid)
	return compare(b, "Submission", m, merr, r, rerr)
}

func (b *both) Intent(ctx context.Context, id point.TransactionID) (*point.Intent, error) {
	m, merr := b.model.Intent(ctx, id)
	r, rerr := b.real.Intent(ctx, id)
	return compare(b, "Intent", m, merr, r, rerr)
}

func (b *both) AddIntent(ctx context.Context, intent, last *point.Intent, events ...point.Event) error {
	return b.check("AddIntent", b.model.AddIntent(ctx, intent, last, events...), b.real.AddIntent(ctx, intent, last, events...))
}

func (b *both) MarkSent(ctx context.Context, id point.TransactionID, at time.Time, verdicts ...point.Judgement) error {
	return b.check("MarkSent", b.model.MarkSent(ctx, id, at, verdicts...), b.real.MarkSent(ctx, id, at, verdicts...))
}

func (b *both) MarkCommitted(ctx context.Context, id point.TransactionID, at time.Time, claims []point.Key, waits ...point.Wait) ([]bool, error) {
	m, merr := b.model.MarkCommitted(ctx, id, at, claims, waits...)
	r, rerr := b.real.MarkCommitted(ctx, id, at, claims, waits...)
	if len(r) == 0 {
		r = m[:0] // none is none
	}
	return compare(b, "MarkCommitted", m, merr, r, rerr)
}

func (b *both) PutVerdict(ctx context.Context, verdict point.Judgement, events ...point.Event) error {
	return b.check("PutVerdict", b.model.PutVerdict(ctx, verdict, events...), b.real.PutVerdict(ctx, verdict, events...))
}

func (b *both) Verdict(ctx context.Context, digest, certificate [32]byte) (*point.Judgement, error) {
	m, merr := b.model.Verdict(ctx, digest, certificate)
	r, rerr := b.real.Verdict(ctx, digest, certificate)
	return compare(b, "Verdict", m, merr, r, rerr)
}

func (b *both) BeginDelivery(ctx context.Context, key point.Key, events ...point.Event) (bool, error) {
	m, merr := b.model.BeginDelivery(ctx, key, events...)
	r, rerr := b.real.BeginDelivery(ctx, key, events...)
	return compare(b, "BeginDelivery", m, merr, r, rerr)
}

func (b *both) PutOutcome(ctx context.Context, key point.Key, outcome point.Outcome, settled point.Settlement, events ...point.Event) (point.Outcome, error) {
	m, merr := b.model.PutOutcome(ctx, key, outcome, settled, events...)
	r, rerr := b.real.PutOutcome(ctx, key, outcome, settled, events...)
	return compare(b, "PutOutcome", m, merr, r, rerr)
}

func (b *both) Outcome(ctx context.Context, key point.Key) (*point.Outcome, error) {
	m, merr := b.model.Outcome(ctx, key)
	r, rerr := b.real.Outcome(ctx, key)
	return compare(b, "Outcome", m, merr, r, rerr)
}

func (b *both) Waits(ctx context.Context, before time.Time) ([]point.Wait, error) {
	m, merr := b.model.Waits(ctx, before)
	r, rerr := b.real.Waits(ctx, before)
	return compare(b, "Waits", m, merr, r, rerr)
}

func (b *both) DecideFirst(ctx context.Context, w point.Wait, at time.Time) (point.Wait, error) {
	m, merr := b.model.DecideFirst(ctx, w, at)
	r, rerr := b.real.DecideFirst(ctx, w, at)
	return compare(b, "DecideFirst", m, merr, r, rerr)
}

func (b *both) DecideLast(ctx context.Context, w point.Wait, at time.Time) (point.Wait, error) {
	m, merr := b.model.DecideLast(ctx, w, at)
	r, rerr := b.real.DecideLast(ctx, w, at)
	return compare(b, "DecideLast", m, merr, r, rerr)
}

func (b *both) Over(ctx context.Context, w point.Wait) error {
	return b.check("Over", b.model.Over(ctx, w), b.real.Over(ctx, w))
}
