package point

import (
	"context"
	"fmt"

	"github.com/pec-milter/pec-milter/pec"
)

// deliveryNotice is Delivery step 6: the notice that an outcome owes to the
// sender: avvenuta-consegna (RFC 6109 section 3.3.2) or errore-consegna
// (section 3.3.3).
func (d *DeliveryPoint) deliveryNotice(ctx context.Context, t *Transaction, m *message, outcome *Outcome, recipient string) error {
	if outcome.Kind == "" {
		return nil
	}
	data := *m.data
	data.Kind, data.Error, data.Time = outcome.Kind, outcome.Error, outcome.Time
	data.Provider, data.Delivered, data.Detail = d.Identity.Name, recipient, outcome.Detail
	key := m.key("notice "+string(outcome.Kind), recipient)
	sum := d.Secret.mac("notice", key[:])
	notice := pec.Notice{
		Data: data, ID: pec.NewID(sum[:20], d.Identity.Domain), To: data.Sender, Subject: envelopeSubject(t.Message.Header),
	}
	if outcome.Kind == pec.Delivery {
		if err := d.enclose(&notice, m, recipient); err != nil {
			return err
		}
	} else {
		notice.Data.ReceiptType = ""
	}
	return d.issue(ctx, t.QueueID, notice)
}

// enclose chooses the type of a delivery notice, and encloses the original where
// that type has it.
// TODO(#3): until the brief form is built, who asks for it gets the complete one.
func (d *DeliveryPoint) enclose(notice *pec.Notice, m *message, recipient string) error {
	original, err := m.original.Decoded()
	if err != nil {
		return fmt.Errorf("reading the original message: %w", err)
	}
	// A header that cannot be read tells nothing: then the recipient counts as a
	// primary one.
	parsed, _ := pec.ReadMessage(original, original.Size())
	notice.Type = pec.ReceiptFor(m.data.ReceiptType, parsed.Header, recipient)
	if notice.Type == pec.Brief {
		notice.Type = pec.Complete
	}
	if notice.Type == pec.Complete {
		notice.Original = original
	}
	return nil
}

// issue issues a notice once: log, inject, record. Called again it gives the
// same bytes, so that a repeat after a crash can be told.
func (d *DeliveryPoint) issue(ctx context.Context, queueID string, n pec.Notice) error {
	key := hashKey("issued", []byte(n.ID))
	release, ok, err := d.State.Lease(ctx, key, workTime)
	if err != nil {
		return fmt.Errorf("claiming notice %s: %w", n.ID, err)
	}
	if !ok {
		return fmt.Errorf("notice %s is being issued elsewhere", n.ID)
	}
	defer release()
	if done, err := d.issued(ctx, key, n.ID); done || err != nil {
		return err
	}
	signed, err := d.signNotice(ctx, n)
	if err != nil {
		return err
	}
	event := noticeEvent(EventIssuing, queueID, &n)
	if err := d.logOnce(ctx, event); err != nil {
		return err
	}
	if err := d.Injector.Inject(ctx, d.Identity.Address, n.To, signed); err != nil {
		return fmt.Errorf("injecting notice %s: %w", n.ID, err)
	}
	event.Kind = EventIssued
	if err := d.Log.Append(ctx, event); err != nil {
		return fmt.Errorf("logging notice %s: %w", n.ID, err)
	}
	d.Logger.Info("notice issued", "queue_id", queueID, "id", n.Data.ID, "notice", n.Data.Kind, "to", n.To, "notice_id", n.ID)
	return d.State.MarkDone(ctx, key)
}

// issued tells whether a notice is in the queue already: by the state, and where
// that has forgotten by the legal log.
func (d *DeliveryPoint) issued(ctx context.Context, key Key, id string) (bool, error) {
	if done, err := d.State.Done(ctx, key); done || err != nil {
		return done, err
	}
	return d.Log.Logged(ctx, EventIssued, id)
}

// logOnce appends an event about a notice unless it is there from an attempt
// before.
func (d *DeliveryPoint) logOnce(ctx context.Context, event Event) error {
	logged, err := d.Log.Logged(ctx, event.Kind, event.NoticeID)
	if logged || err != nil {
		return err
	}
	return d.Log.Append(ctx, event)
}

// signNotice builds and signs a notice, and makes it known as our own before it
// leaves.
func (d *DeliveryPoint) signNotice(ctx context.Context, n pec.Notice) (*pec.Signed, error) {
	by, err := d.issuer(n.ID)
	if err != nil {
		return nil, err
	}
	draft, err := pec.NewNotice(n, by)
	if err != nil {
		return nil, fmt.Errorf("building notice %s: %w", n.ID, err)
	}
	signed, err := draft.Sign(by)
	if err != nil {
		return nil, fmt.Errorf("signing notice %s: %w", n.ID, err)
	}
	if err := d.Records.PutVerdict(ctx, own(signed, by, n.Data.Kind, n.Data.Time)); err != nil {
		return nil, fmt.Errorf("recording notice %s: %w", n.ID, err)
	}
	return signed, nil
}

// noticeEvent is a legal-log row about a notice of our own.
func noticeEvent(kind EventKind, queueID string, n *pec.Notice) Event {
	event := messageEvent(kind, DeliveryDoor, queueID, n.Data.Time, &n.Data)
	event.Notice, event.NoticeID = n.Data.Kind, n.ID
	event.Delivered, event.TakenFor, event.Detail = n.Data.Delivered, n.Data.TakenFor, n.Data.Detail
	return event
}
