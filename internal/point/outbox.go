package point

import (
	"context"
	"errors"
	"fmt"

	"github.com/pec-milter/pec-milter/pec"
)

// outbox is Delivery step 1: an outbox recipient shows that its message is in
// the MTA's queue. That is recorded first; then the notice is issued. The trust
// is in the HMAC and in the recorded intent: no verdict is needed. Any doubt
// goes back to the queue, and to a fresh queue file before this one expires.
func (d *DeliveryPoint) outbox(ctx context.Context, t *Transaction, m *message, recipient string) error {
	kind, id, err := d.Secret.parseOutbox(recipient)
	if err != nil {
		return replyOutbox
	}
	err = d.serveOutbox(ctx, t, m, recipient, kind, id)
	if errors.Is(err, errLost) {
		if over, failed := d.leftover(ctx, t, kind, id); over || failed != nil {
			return failed
		}
	}
	if err != nil {
		return d.requeue(ctx, t, recipient, err)
	}
	return nil
}

// leftover tells whether this is what a Sendmail leaves that dies while it removes a
// message that it has delivered: the body is gone, and header and recipients come
// again. The notice was issued, and nothing is owed.
func (d *DeliveryPoint) leftover(ctx context.Context, t *Transaction, kind pec.Kind, id TransactionID) (bool, error) {
	if !t.withoutBody() {
		return false, nil
	}
	intent, err := d.Records.Intent(ctx, id)
	if errors.Is(err, ErrUnknown) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("transaction %x: %w", id, err)
	}
	own := bareID(t.Message.Header) == intent.Facts.Data.ID || kind == pec.NonAcceptance && pec.MessageID(t.Message.Header) == intent.Facts.Data.Reference
	issued, err := d.Log.Logged(ctx, EventIssued, d.noticeID(intent, kind, ""))
	return own && issued, err
}

// serveOutbox records that the message is in the queue, and issues the notice.
func (d *DeliveryPoint) serveOutbox(ctx context.Context, t *Transaction, m *message, recipient string, kind pec.Kind, id TransactionID) error {
	intent, err := d.transaction(ctx, t, m, recipient, kind, id)
	if err != nil {
		return err
	}
	claimed, err := d.commit(ctx, m, kind, intent)
	if err != nil {
		return err
	}
	switch kind {
	case pec.Acceptance:
		return d.acceptance(ctx, intent)
	case pec.NonAcceptance:
		return d.nonAcceptance(ctx, intent)
	case pec.ServerAcceptance:
		return d.serverAcceptance(ctx, intent, claimed)
	case pec.VirusDetection:
		return d.virusDetection(ctx, intent, claimed)
	}
	return fmt.Errorf("outbox recipient %s: %w: none of that kind is ever owed", recipient, errLost)
}

// transaction is the intent that an outbox recipient speaks of, as it was recorded
// or as the message in the queue brings it back; errLost if it does not, or if it
// belongs to another message.
func (d *DeliveryPoint) transaction(ctx context.Context, t *Transaction, m *message, recipient string, kind pec.Kind, id TransactionID) (*Intent, error) {
	intent, err := d.Records.Intent(ctx, id)
	if errors.Is(err, ErrUnknown) {
		intent, err = d.restore(ctx, t, m, kind, id)
	}
	switch {
	case errors.Is(err, ErrUnknown) || err == nil && kind == pec.VirusDetection && intent.Facts.Virus == "":
		d.Logger.Warn("outbox recipient of a transaction that is not recorded", "queue_id", t.QueueID, "recipient", recipient)
		return nil, fmt.Errorf("transaction of %s: %w: not recorded", recipient, errLost)
	case err != nil:
		return nil, fmt.Errorf("transaction of %s: %w", recipient, err)
	case !belongs(t, m, kind, intent):
		d.Logger.Warn("outbox recipient on another message", "queue_id", t.QueueID, "recipient", recipient, "id", m.id())
		return nil, fmt.Errorf("transaction of %s: %w: it is that of message %s", recipient, errLost, intent.Facts.Data.ID)
	}
	return intent, nil
}

// belongs tells whether an outbox recipient came on the message for which it was
// added: an envelope, or a submission that was refused and so is unsigned.
func belongs(t *Transaction, m *message, kind pec.Kind, intent *Intent) bool {
	if kind == pec.NonAcceptance {
		return t.BodyDigest == intent.Facts.BodyDigest
	}
	return m.data != nil && m.data.Kind == pec.Envelope && m.id() == intent.Facts.Data.ID
}

// commit records COMMITTED, and with it what the acceptance has us wait for, and
// claims for this transaction the recipients that its notice speaks for: an envelope
// that comes in two transactions is taken charge of, or found infected, once for each
// recipient.
func (d *DeliveryPoint) commit(ctx context.Context, m *message, kind pec.Kind, intent *Intent) ([]string, error) {
	var recipients []string
	var waits []Wait
	switch kind {
	case pec.ServerAcceptance, pec.VirusDetection:
		recipients = intent.Facts.Recipients
	case pec.Acceptance:
		waits = awaited(intent)
	}
	var keys []Key
	for _, r := range recipients {
		keys = append(keys, m.key(string(kind), r))
	}
	own, err := d.Records.MarkCommitted(ctx, intent.ID, d.Clock(), keys, waits...)
	if err != nil {
		return nil, fmt.Errorf("recording that %s is in the queue: %w", intent.Facts.Data.ID, err)
	}
	var claimed []string
	for n, r := range recipients {
		if own[n] {
			claimed = append(claimed, r)
		}
	}
	return claimed, nil
}

// acceptance issues the server-user acceptance: RFC 6109 section 3.1.4.
func (d *DeliveryPoint) acceptance(ctx context.Context, intent *Intent) error {
	data := intent.Facts.Data
	data.Kind = pec.Acceptance
	return d.issue(ctx, intent.Facts.QueueID, pec.Notice{
		Data: data, ID: d.noticeID(intent, pec.Acceptance, ""), To: data.Sender, Subject: intent.Facts.Subject,
	})
}

// nonAcceptance issues the refusal of a submission: RFC 6109 sections 3.1.2 and
// 3.1.3.
func (d *DeliveryPoint) nonAcceptance(ctx context.Context, intent *Intent) error {
	data := intent.Facts.Data
	data.Kind, data.ReceiptType = pec.NonAcceptance, ""
	return d.issue(ctx, intent.Facts.QueueID, pec.Notice{
		Data: data, ID: d.noticeID(intent, pec.NonAcceptance, ""), To: data.Sender, Subject: intent.Facts.Subject,
		Virus: intent.Facts.Virus,
	})
}

// serverAcceptance issues the server-server acceptance: RFC 6109 section 3.2.1.
// Its date is the time at which this transaction took charge.
func (d *DeliveryPoint) serverAcceptance(ctx context.Context, intent *Intent, taken []string) error {
	if len(taken) == 0 {
		return nil // another transaction of the same envelope spoke for all
	}
	data := intent.Facts.Data
	data.Kind, data.Error, data.Time = pec.ServerAcceptance, pec.NoError, intent.Time
	data.Provider, data.ReceiptType, data.TakenFor = d.Identity.Name, "", taken
	return d.issue(ctx, intent.Facts.QueueID, pec.Notice{
		Data: data, ID: d.noticeID(intent, pec.ServerAcceptance, ""), To: intent.Facts.MailReceipt, Subject: intent.Facts.Subject,
	})
}

// virusDetection tells the sender's provider that the envelope is infected, for
// each recipient apart: RFC 6109 section 3.2.3.
func (d *DeliveryPoint) virusDetection(ctx context.Context, intent *Intent, recipients []string) error {
	for _, recipient := range recipients {
		data := intent.Facts.Data
		data.Kind, data.Error, data.Time = pec.VirusDetection, pec.VirusFound, intent.Time
		data.Provider, data.ReceiptType, data.Delivered, data.Detail = d.Identity.Name, "", recipient, intent.Facts.Virus
		err := d.issue(ctx, intent.Facts.QueueID, pec.Notice{
			Data: data, ID: d.noticeID(intent, pec.VirusDetection, recipient), To: intent.Facts.MailReceipt,
			Subject: intent.Facts.Subject, Virus: intent.Facts.Virus,
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// noticeID is the Message-ID of a notice about a transaction: always the same.
// recipient is empty where one notice speaks for all.
func (d *DeliveryPoint) noticeID(intent *Intent, kind pec.Kind, recipient string) string {
	sum := d.Secret.mac("notice", []byte(kind), intent.ID[:], []byte(pec.CanonicalAddress(recipient)))
	return pec.NewID(sum[:20], d.Identity.Domain)
}
