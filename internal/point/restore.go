package point

import (
	"context"
	"errors"
	"fmt"

	"github.com/pec-milter/pec-milter/pec"
)

// recordedAgain is the detail of the row of an intent that was lost.
const recordedAgain = "recorded again from the message in the queue"

// RecordedAgain tells whether a row says that a message was taken whose first row was
// lost. If that comes back, there are two.
func (e *Event) RecordedAgain() bool { return e.Detail == recordedAgain }

// restore records anew the intent of an envelope in the queue that the database
// has lost: an older backup was restored, or a replica took over that lagged. The
// outbox address carries our HMAC, so that a door has accepted the envelope; the
// envelope has what its notices say; and it is judged again, for nothing else
// ties the two together now. A peer's goes to the antivirus again, for what was
// found is lost too. The error is ErrUnknown where there is no such envelope, as
// for what was refused: its notice cannot be made again.
func (d *DeliveryPoint) restore(ctx context.Context, t *Transaction, m *message, kind pec.Kind, id TransactionID) (*Intent, error) {
	if m.data == nil || kind == pec.NonAcceptance {
		return nil, ErrUnknown
	}
	intent, err := d.restored(t, kind, id)
	if err != nil {
		return nil, err
	}
	event := EventAccepted
	if intent.Door == IncomingDoor {
		event = EventReceived
		finding, err := d.scan(ctx, t)
		if err != nil {
			return nil, err
		}
		intent.Facts.Virus = finding.Virus
	}
	row := intentEvent(event, t, intent)
	row.Detail = recordedAgain
	err = d.Records.AddIntent(ctx, intent, nil, row)
	if errors.Is(err, ErrConflict) {
		return d.Records.Intent(ctx, id) // another node was faster
	}
	if err != nil {
		return nil, err
	}
	d.Logger.Error("intent recorded again from the message in the queue: the database had lost it", "queue_id", t.QueueID,
		"id", intent.Facts.Data.ID)
	return intent, nil
}

// restored is the intent as the door must have recorded it: of a submission with
// its own time, of a peer's envelope with the time at which our MTA had it. Its
// key cannot be known.
func (d *DeliveryPoint) restored(t *Transaction, kind pec.Kind, id TransactionID) (*Intent, error) {
	trust, err := d.Trust.Current()
	if err != nil {
		return nil, fmt.Errorf("providers directory: %w", err)
	}
	c, err := pec.Classify(t.Message, trust, t.Time)
	if err != nil {
		return nil, fmt.Errorf("classifying: %w", err)
	}
	if !c.Correct() || c.Kind != pec.Envelope || c.CheckEnvelope(t.ReversePath) != "" {
		return nil, ErrUnknown
	}
	intent := &Intent{
		ID: id, Key: restoredKey(id), Door: AccessDoor, Time: c.Data.Time,
		Facts: Facts{
			QueueID: t.QueueID, Data: *c.Data, Subject: envelopeSubject(t.Message.Header), MailReceipt: c.Provider.MailReceipt,
		},
	}
	for _, r := range c.Data.Recipients {
		intent.Facts.Recipients = append(intent.Facts.Recipients, d.ours([]string{r.Address})...)
	}
	if c.Provider.Name != d.Identity.Name {
		intent.Door, intent.Time = IncomingDoor, pec.LegalTime(t.Time)
		if since, known := queuedSince(t.Message.Header); known {
			intent.Time = pec.LegalTime(since)
		}
	}
	if kind == pec.Acceptance && intent.Door != AccessDoor || kind == pec.VirusDetection && intent.Door != IncomingDoor {
		return nil, ErrUnknown
	}
	return intent, nil
}

// restoredKey stands in for a submission key that is lost.
func restoredKey(id TransactionID) Key { return hashKey("restored", id[:]) }

// restoredAttempt is the attempt that a new intent collides with, if that one was
// restored; else ErrConflict.
func (p *Provider) restoredAttempt(ctx context.Context, intent *Intent) (*Intent, error) {
	restored, err := p.Records.Intent(ctx, intent.ID)
	if errors.Is(err, ErrUnknown) || err == nil && restored.Key != restoredKey(intent.ID) {
		return nil, ErrConflict
	}
	if err != nil {
		return nil, err
	}
	restored.Generation = intent.Generation
	return restored, nil
}
