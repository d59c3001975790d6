package point

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/pec-milter/pec-milter/pec"
)

// The times of an attempt's phases (DESIGN: never lost, never twice).
const (
	// holdTime: a repeat of what was sent less than this ago waits, for the
	// first is on its way through the queue.
	holdTime = time.Minute
	// resumeTime: a repeat of what was sent less than this ago, and never seen
	// in the queue, goes on with the same id and time.
	resumeTime = 15 * time.Minute
	// workTime bounds how long one attempt keeps others off the same message.
	workTime = 5 * time.Minute
)

// attempt is an open intent, and the lease on its key.
type attempt struct {
	*Intent
	release func()
}

// begin finds or records the intent of a transaction that owes notices. It
// returns nil if the message is in the queue already and a repeat may be
// dropped. facts makes the facts of a new generation; event is its legal-log
// row.
func (p *Provider) begin(ctx context.Context, door Door, t *Transaction, facts func(id string, at time.Time) Facts, event EventKind) (*attempt, error) {
	key := submissionKey(door, t)
	release, ok, err := p.State.Lease(ctx, key, workTime)
	if err != nil {
		return nil, fmt.Errorf("taking the message: %w", err)
	}
	if !ok {
		return nil, replyInProgress
	}
	intent, err := p.intent(ctx, key, door, t, facts, event)
	if err != nil || intent == nil {
		release()
		return nil, err
	}
	return &attempt{intent, release}, nil
}

// intent is the intent to go on with: the last one, or a new generation.
func (p *Provider) intent(ctx context.Context, key Key, door Door, t *Transaction, facts func(string, time.Time) Facts, event EventKind) (*Intent, error) {
	last, err := p.Records.LatestIntent(ctx, key)
	if errors.Is(err, ErrUnknown) {
		return p.newIntent(ctx, key, nil, door, t, facts, event)
	}
	if err != nil {
		return nil, fmt.Errorf("looking for an earlier attempt: %w", err)
	}
	return p.after(ctx, key, last, door, t, facts, event)
}

// after is the intent to go on with after an earlier attempt.
func (p *Provider) after(ctx context.Context, key Key, last *Intent, door Door, t *Transaction, facts func(string, time.Time) Facts, event EventKind) (*Intent, error) {
	switch age := t.Time.Sub(last.SentAt); {
	case !last.Committed.IsZero():
		drop, err := p.mayDrop(ctx, door, t, last)
		if drop || err != nil {
			return nil, err
		}
	case last.SentAt.IsZero(): // void: the accept was never given
	case age < holdTime:
		return nil, replyInProgress
	case age <= resumeTime:
		return last, p.repeated(ctx, t, last)
	}
	return p.newIntent(ctx, key, last, door, t, facts, event)
}

// repeated has the legal log say that a message goes on under another queue id: by it
// people search, and Sendmail asks for its lifetime.
func (p *Provider) repeated(ctx context.Context, t *Transaction, intent *Intent) error {
	if err := p.Log.Append(ctx, repeatedEvent(t, intent)); err != nil {
		return fmt.Errorf("recording the repeat of %s: %w", intent.Facts.Data.ID, err)
	}
	return nil
}

// mayDrop tells whether the repeat of a message that is in the queue is no new
// submission. An envelope from a peer never is. A user's message must tell
// itself apart from another (Message-ID and Date), and must not have failed:
// then sending it again is meant.
func (p *Provider) mayDrop(ctx context.Context, door Door, t *Transaction, last *Intent) (bool, error) {
	if door == IncomingDoor {
		return true, nil
	}
	if t.Message.Header.Count("Message-ID") == 0 || t.Message.Header.Count("Date") == 0 {
		return false, nil
	}
	failed, err := p.Log.Failed(ctx, last.Facts.Data.ID)
	if err != nil {
		return false, fmt.Errorf("looking for notices of failure: %w", err)
	}
	return !failed, nil
}

// newIntent records a new generation after last (nil for the first): its ids
// follow from the key.
func (p *Provider) newIntent(ctx context.Context, key Key, last *Intent, door Door, t *Transaction, facts func(string, time.Time) Facts, event EventKind) (*Intent, error) {
	generation := 0
	if last != nil {
		generation = last.Generation + 1
	}
	count := fmt.Append(nil, generation)
	id := p.Secret.mac("transaction", key[:], count)
	msgid := p.Secret.mac("msgid", key[:], count)
	at := pec.LegalTime(t.Time)
	intent := &Intent{
		ID: TransactionID(id[:16]), Key: key, Generation: generation, Door: door, Time: at,
		Facts: facts(pec.NewID(msgid[:20], p.Identity.Domain), at),
	}
	intent.Facts.QueueID = t.QueueID
	err := p.Records.AddIntent(ctx, intent, last, intentEvent(event, t, intent))
	if errors.Is(err, ErrConflict) {
		var restored *Intent
		if restored, err = p.restoredAttempt(ctx, intent); err == nil {
			return p.after(ctx, key, restored, door, t, facts, event)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("recording the intent: %w", err)
	}
	return intent, nil
}

// sent ends an attempt: the accept is about to be given, and what goes on is known
// by its verdicts from then on.
func (p *Provider) sent(a *attempt, verdicts ...Judgement) func(context.Context, time.Time) error {
	return func(ctx context.Context, now time.Time) error {
		defer a.release()
		return p.Records.MarkSent(ctx, a.ID, now, verdicts...)
	}
}
