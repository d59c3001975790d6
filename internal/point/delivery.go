package point

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/pec-milter/pec-milter/pec"
)

// Recipient takes the outbox recipients made here and the mailboxes of the
// certified domains; whether a mailbox exists is told by the store.
func (d *DeliveryPoint) Recipient(_ context.Context, _ *Transaction, recipient string) error {
	if isOutbox(recipient) {
		if _, _, err := d.Secret.parseOutbox(recipient); err != nil {
			d.Logger.Error("forged outbox recipient refused: the MTA must not take this domain from anybody", "recipient", recipient)
			return replyOutbox
		}
		return nil
	}
	if !d.certified(recipient) {
		return &Reply{550, "5.1.2", "not a domain of this provider"}
	}
	return nil
}

// Deliver serves every recipient of a message that is in the MTA's queue:
// RFC 6109 section 3.3. It gives for each, in their order, nil (250), a *Reply,
// or another error for which the queue tries again.
func (d *DeliveryPoint) Deliver(ctx context.Context, t *Transaction) []error {
	results := make([]error, len(t.Recipients))
	m, err := read(t)
	if err != nil {
		return slices.Repeat([]error{err}, len(results))
	}
	t.ID = m.id()
	for n, recipient := range t.Recipients {
		if isOutbox(recipient) {
			results[n] = d.outbox(ctx, t, m, recipient) // Step 1
		}
	}
	judged := d.judge(ctx, t, m) // Step 2, once for all mailboxes
	for n, recipient := range t.Recipients {
		switch {
		case isOutbox(recipient):
		case judged != nil:
			results[n] = judged
		default:
			results[n] = d.mailbox(ctx, t, m, recipient) // Steps 3 to 7
		}
	}
	return results
}

// mailbox delivers to one mailbox.
func (d *DeliveryPoint) mailbox(ctx context.Context, t *Transaction, m *message, recipient string) error {
	if m.Ordinary && !d.takesOrdinary(recipient) {
		return replyOrdinary // the incoming door could not refuse for one of several
	}
	if t.withoutBody() { // the rest of a message that a Sendmail has delivered: see leftover
		if ended, err := d.Log.Ended(ctx, t.QueueID, m.noticeID, recipient); ended || err != nil {
			return err
		}
	}
	if m.signature == nil && t.ReversePath == "" {
		if served, err := d.bounce(ctx, t, m, recipient); served || err != nil {
			return err
		}
	}
	// Step 3: claim, with a lease; stored already: go to step 6.
	key := m.key("delivery", recipient)
	release, ok, err := d.State.Lease(ctx, key, workTime)
	if err != nil {
		return fmt.Errorf("claiming the delivery: %w", err)
	}
	if !ok {
		return &Reply{451, "4.3.0", "delivery in progress, try again later"}
	}
	defer release()
	outcome, err := d.Records.Outcome(ctx, key)
	if errors.Is(err, ErrUnknown) {
		outcome, err = d.store(ctx, t, m, key, recipient) // Steps 4 and 5
	}
	if err != nil {
		return err
	}
	// Step 6: the notice that is owed.
	if err := d.deliveryNotice(ctx, t, m, outcome, recipient); err != nil {
		return fmt.Errorf("notice of %s for %s: %w", outcome.Kind, recipient, err)
	}
	// Step 7: reply.
	return nil
}

// store is Delivery steps 4 and 5: stored in the mailbox, stamped with the
// trace header; then the outcome is recorded with its date.
func (d *DeliveryPoint) store(ctx context.Context, t *Transaction, m *message, key Key, recipient string) (*Outcome, error) {
	if err := d.ready(); err != nil {
		return nil, err
	}
	content, err := d.contentFor(ctx, t, m, recipient)
	if err != nil {
		return nil, err
	}
	again, err := d.Records.BeginDelivery(ctx, key, deliveringEvent(t, m, recipient))
	if err != nil {
		return nil, fmt.Errorf("recording that the delivery begins: %w", err)
	}
	// Step 4.
	receipt, err := d.handOver(ctx, t, m, recipient, &stamped{d.Secret.trace(key), again, content})
	outcome, delivered := Outcome{Reply: receipt}, err == nil
	if err != nil {
		if outcome, err = d.failed(t, m, recipient, err); err != nil {
			return nil, err
		}
	} else if m.owesReceipt(recipient) {
		outcome.Kind = pec.Delivery
	}
	// Step 5. What was waited for ends in the same step: once the log says that a
	// receipt is in the mailbox, no timer may say that it did not come.
	settled, err := d.settled(ctx, m)
	if err != nil {
		return nil, fmt.Errorf("looking for what %s ends: %w", m.id(), err)
	}
	outcome.Time = notBefore(m.Time, d.Clock())
	row := outcomeEvent(t, m, recipient, &outcome, delivered)
	recorded, err := d.Records.PutOutcome(ctx, key, outcome, settled, row)
	if err != nil {
		return nil, fmt.Errorf("recording the delivery: %w", err)
	}
	d.Logger.Info(string(row.Kind), "queue_id", t.QueueID, "id", m.id(), "recipient", recipient, "reply", outcome.Reply)
	return &recorded, nil
}

// handOver stores a message in its mailbox; the service mailbox takes what
// providers tell each other, and nothing else (RFC 6109 section 2.2.5). Ordinary
// mail goes on to where the mailbox wants it forwarded: as it came, taken out of
// the anomaly envelope.
func (d *DeliveryPoint) handOver(ctx context.Context, t *Transaction, m *message, recipient string, content io.WriterTo) (string, error) {
	if d.isService(recipient) && m.Kind != pec.ServerAcceptance && m.Kind != pec.VirusDetection {
		return "", replyService
	}
	target := d.Accounts.Policy(recipient).Forward
	if !m.Ordinary || target == "" {
		return d.storeInTurn(ctx, t.ReversePath, recipient, content)
	}
	enclosed := pec.Enclosed(m.signature)
	if enclosed == nil {
		return "", errors.New("an anomaly envelope of our own encloses nothing")
	}
	if err := d.Injector.Inject(ctx, t.ReversePath, target, whole{enclosed.Body()}); err != nil {
		return "", fmt.Errorf("forwarding ordinary mail: %w", err)
	}
	return "forwarded to " + target, nil
}

// storeInTurn stores one message at a time into a mailbox.
//
// QUIRK: when three deliveries into one mailbox overlap, Dovecot 2.3 may forget
// what it knows of duplicates: each writes that file anew.
func (d *DeliveryPoint) storeInTurn(ctx context.Context, reversePath, recipient string, message io.WriterTo) (string, error) {
	done, err := d.turn(ctx, strings.ToLower(recipient))
	if err != nil {
		return "", fmt.Errorf("waiting for other deliveries into the mailbox: %w", err)
	}
	defer done()
	return d.Store.Store(ctx, reversePath, recipient, message)
}

// givenUpAfter is when a delivery that fails temporarily is given up here, so
// that the sender gets our notice and not the MTA's unsigned bounce at 24 hours
// (RFC 6109 section 2.2.2).
const givenUpAfter = 23 * time.Hour

// failed turns the store's refusal into the outcome of a certified envelope:
// errore-consegna (RFC 6109 section 3.3.3). Any other failure goes back to the
// queue; for a notice also a permanent one, for nobody may get a notice, or a
// bounce, for a notice.
func (d *DeliveryPoint) failed(t *Transaction, m *message, recipient string, err error) (Outcome, error) {
	var reply *Reply
	if !errors.As(err, &reply) || !reply.Permanent() {
		if m.owesReceipt(recipient) && d.Clock().Sub(m.Time) >= givenUpAfter {
			return nonDelivery(&Reply{550, "5.4.7", err.Error()}, d.Identity.Name), nil
		}
		return Outcome{}, fmt.Errorf("mailbox store: %w", err)
	}
	switch {
	case m.owesReceipt(recipient):
		outcome := nonDelivery(reply, d.Identity.Name)
		outcome.Reply = reply.Error()
		return outcome, nil
	case m.Kind == pec.Envelope || m.Kind == pec.Anomaly: // one of its own around it
		return Outcome{}, reply
	}
	d.Logger.Error("a notice cannot be delivered: the queue keeps it until it expires", "queue_id", t.QueueID, "id", m.id(), "notice", m.Kind, "reply", reply.Error())
	return Outcome{}, &Reply{451, "4.2.0", "notice not delivered: " + reply.Text}
}

// nonDelivery is the outcome of a permanent failure with its code of Nota 12.
func nonDelivery(reply *Reply, provider string) Outcome {
	code, kind := pec.DeliveryFailure(reply.Status, reply.Text)
	return Outcome{Kind: pec.NonDelivery, Code: code, Error: kind, Detail: pec.FailureDetail(code, provider)}
}

// contentFor is what goes into the recipient's mailbox: the message as it is, or
// where it is no PEC message for this recipient an anomaly envelope around it.
func (d *DeliveryPoint) contentFor(ctx context.Context, t *Transaction, m *message, recipient string) (io.WriterTo, error) {
	problem := m.problemFor(recipient)
	if problem == "" {
		return messageWithoutTrace(t.Message), nil
	}
	one := *t
	one.Recipients = []string{recipient}
	return d.anomaly(ctx, DeliveryDoor, &one, []string{problem}, false)
}

// whole is a message as its bytes stand.
type whole struct{ pec.Body }

// WriteTo writes them.
func (m whole) WriteTo(w io.Writer) (int64, error) {
	return io.Copy(w, io.NewSectionReader(m.Body, 0, m.Size()))
}

// messageWithoutTrace drops what only we may stamp.
func messageWithoutTrace(m pec.Message) pec.Message {
	return pec.Message{Header: m.Header.Without(pec.HeaderTrace, pec.HeaderRepeat), Body: m.Body}
}

// stamped is a message with the trace header before it. again: an attempt before may
// have stored it, and the store must look, for what it remembers may have been lost:
// Dovecot, killed between message and memory, has the one without the other.
type stamped struct {
	trace   string
	again   bool
	content io.WriterTo
}

// WriteTo writes the trace header and the message.
func (s *stamped) WriteTo(w io.Writer) (int64, error) {
	header := pec.NewField(pec.HeaderTrace, s.trace).String()
	if s.again {
		header += pec.NewField(pec.HeaderRepeat, "yes").String()
	}
	n, err := io.WriteString(w, header)
	if err != nil {
		return int64(n), err
	}
	rest, err := s.content.WriteTo(w)
	return int64(n) + rest, err
}
