package point

import (
	"context"
	"errors"
	"fmt"

	"github.com/pec-milter/pec-milter/pec"
)

// deliveryNotice is Delivery step 6: the notice that an outcome owes to the
// sender: avvenuta-consegna (RFC 6109 section 3.3.2) or errore-consegna
// (section 3.3.3).
func (d *DeliveryPoint) deliveryNotice(ctx context.Context, t *Transaction, m *message, outcome *Outcome, recipient string) error {
	if m.Kind == pec.VirusDetection {
		return d.virusNotice(ctx, t, m)
	}
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
		if err := d.enclose(t, &notice, m, recipient); err != nil {
			return err
		}
	} else {
		notice.Data.ReceiptType = ""
	}
	return d.issue(ctx, t.QueueID, notice)
}

// virusNotice tells our user what a peer's rilevazione-virus told us:
// errore-consegna per virus, once for each recipient (RFC 6109 section 3.2.4).
// The peer must speak of a message that we have accepted for that recipient.
func (d *DeliveryPoint) virusNotice(ctx context.Context, t *Transaction, m *message) error {
	intent, err := d.Records.Submission(ctx, m.data.ID)
	if errors.Is(err, ErrUnknown) || err == nil && len(addressed([]string{m.data.Delivered}, &intent.Facts.Data)) == 0 {
		d.Logger.Error("virus detection for a message that was not sent from here", "queue_id", t.QueueID, "id", m.data.ID,
			"recipient", m.data.Delivered)
		return nil
	}
	if err != nil {
		return fmt.Errorf("looking for message %s: %w", m.data.ID, err)
	}
	outcome := Outcome{
		Kind: pec.NonDelivery, Time: pec.LegalTime(t.Time), Error: pec.VirusFound,
		Detail: pec.FailureDetail("5.5.1", d.Identity.Name),
	}
	return d.failureNotice(ctx, t, intent, m.data.Delivered, outcome, m.data.Detail)
}

// failureNotice issues errore-consegna to our own user, about one recipient of
// his message. The message that told of the failure is t's. The outcome is
// recorded first: the notice keeps its date.
func (d *DeliveryPoint) failureNotice(ctx context.Context, t *Transaction, intent *Intent, recipient string, outcome Outcome, virus string) error {
	if err := d.believeClock(); err != nil {
		return err
	}
	outcome.Time = notBefore(intent.Time, outcome.Time)
	data := intent.Facts.Data
	key := hashKey("failure", []byte(data.ID), []byte(pec.CanonicalAddress(recipient)))
	recorded, err := d.Records.PutOutcome(ctx, key, outcome, Settlement{})
	if err != nil {
		return fmt.Errorf("recording the failure for %s: %w", recipient, err)
	}
	data.Kind, data.Error, data.Time, data.ReceiptType = pec.NonDelivery, recorded.Error, recorded.Time, ""
	data.Delivered, data.Detail = recipient, recorded.Detail
	sum := d.Secret.mac("notice", key[:])
	return d.issue(ctx, intent.Facts.QueueID, pec.Notice{
		Data: data, ID: pec.NewID(sum[:20], d.Identity.Domain), To: data.Sender, Subject: intent.Facts.Subject, Virus: virus,
	}, bareID(t.Message.Header))
}

// enclose chooses the type of a delivery notice, and encloses the original where
// that type has it: whole, or with hashes in place of its attachments (RFC 6109
// section 3.3.2.2).
func (d *DeliveryPoint) enclose(t *Transaction, notice *pec.Notice, m *message, recipient string) error {
	original, err := m.original.Decoded()
	if err != nil {
		return fmt.Errorf("reading the original message: %w", err)
	}
	// A header that cannot be read tells nothing: then the recipient counts as a
	// primary one.
	parsed, _ := pec.ReadMessage(original, original.Size())
	notice.Type = pec.ReceiptFor(m.data.ReceiptType, parsed.Header, recipient)
	switch notice.Type {
	case pec.Complete:
		notice.Original = original
	case pec.Brief:
		brief, whole, err := pec.BriefOriginal(original, d.BriefDecoded)
		if err != nil {
			return fmt.Errorf("hashing the attachments: %w", err)
		}
		if whole != "" {
			d.Logger.Info("brief receipt encloses the whole original", "queue_id", t.QueueID, "id", m.id(), "reason", whole)
		}
		notice.Original = brief
	}
	return nil
}

// issue issues a notice once: log, inject, record. Called again it gives the
// same bytes, so that a repeat after a crash can be told. related are the ids of
// the messages that led to it, beside the one that it is about.
func (d *DeliveryPoint) issue(ctx context.Context, queueID string, n pec.Notice, related ...string) error {
	key := hashKey("issued", []byte(n.ID))
	release, ok, err := d.State.Lease(ctx, key, workTime)
	if err != nil {
		return fmt.Errorf("claiming notice %s: %w", n.ID, err)
	}
	if !ok {
		return fmt.Errorf("notice %s is being issued elsewhere", n.ID)
	}
	defer release()
	if done, err := d.Log.Logged(ctx, EventIssued, n.ID); done || err != nil {
		return err
	}
	signed, verdict, err := d.signNotice(ctx, n)
	if err != nil {
		return err
	}
	event := issuingEvent(queueID, &n, signed.Size(), related)
	if err := d.announce(ctx, verdict, event); err != nil {
		return fmt.Errorf("recording notice %s: %w", n.ID, err)
	}
	if err := d.Injector.Inject(ctx, d.Identity.Address, n.To, signed); err != nil {
		return fmt.Errorf("injecting notice %s: %w", n.ID, err)
	}
	if err := d.Log.Append(ctx, issuedEvent(event)); err != nil {
		return fmt.Errorf("logging notice %s: %w", n.ID, err)
	}
	d.Logger.Info("notice issued", "queue_id", queueID, "id", n.Data.ID, "notice", n.Data.Kind, "to", n.To, "notice_id", n.ID)
	return nil
}

// announce records what is about to leave: that it is our own, and its row of the
// legal log, unless that is there from an attempt before.
func (d *DeliveryPoint) announce(ctx context.Context, verdict Judgement, issuing Event) error {
	logged, err := d.Log.Logged(ctx, issuing.Kind, issuing.NoticeID)
	if err != nil {
		return err
	}
	if logged {
		return d.Records.PutVerdict(ctx, verdict)
	}
	return d.Records.PutVerdict(ctx, verdict, issuing)
}

// signNotice builds and signs a notice; with the verdict that makes it known as our
// own.
func (d *DeliveryPoint) signNotice(ctx context.Context, n pec.Notice) (*pec.Signed, Judgement, error) {
	by, err := d.issuer(n.ID)
	if err != nil {
		return nil, Judgement{}, err
	}
	draft, err := pec.NewNotice(n, by)
	if err != nil {
		return nil, Judgement{}, fmt.Errorf("building notice %s: %w", n.ID, err)
	}
	signed, by, err := d.sign(ctx, draft, by)
	if err != nil {
		return nil, Judgement{}, fmt.Errorf("signing notice %s: %w", n.ID, err)
	}
	return signed, own(signed, by, n.Data.Kind, n.Data.Time), nil
}
