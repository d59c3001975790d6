package point

import (
	"context"
	"errors"
	"fmt"
	"net/mail"
	"strings"
	"time"

	"github.com/pec-milter/pec-milter/pec"
)

// requeuedAfter is how long an outbox recipient may wait in one queue file: half
// of the 24 hours after which the MTA gives it up, without a bounce.
const requeuedAfter = 12 * time.Hour

// errLost means that the notice of an outbox recipient cannot be made, unless the
// database comes back that its intent was in.
var errLost = errors.New("the notice cannot be made")

// requeue keeps an outbox recipient that could not be served from expiring: when
// its queue file is 12 hours old, the message goes into a fresh one for this
// recipient alone. cause is why it could not be served; after errLost there is
// nothing to wait for. A crash in between makes two of them, and the notice is
// issued once all the same.
func (d *DeliveryPoint) requeue(ctx context.Context, t *Transaction, recipient string, cause error) error {
	since, known := queuedSince(t.Message.Header)
	if !known || d.Clock().Sub(since) < requeuedAfter {
		return cause
	}
	if errors.Is(cause, errLost) {
		return d.giveUp(ctx, t, recipient, cause)
	}
	if err := d.Injector.Inject(ctx, t.ReversePath, recipient, t.Message); err != nil {
		return errors.Join(cause, fmt.Errorf("queueing %s afresh: %w", recipient, err))
	}
	d.Logger.Error("a notice is owed for 12 hours: its outbox recipient was queued afresh", "queue_id", t.QueueID,
		"recipient", recipient, "error", cause)
	return nil
}

// giveUp ends an outbox recipient whose notice is lost: the legal log and the
// operator are told, and the queue is rid of it. Nobody else can be told: it has no
// facts for a notice, and a refusal here would be an unsigned bounce.
func (d *DeliveryPoint) giveUp(ctx context.Context, t *Transaction, recipient string, cause error) error {
	if err := d.Log.Append(ctx, lostEvent(t, recipient, cause)); err != nil {
		return errors.Join(cause, fmt.Errorf("logging that the notice of %s is lost: %w", recipient, err))
	}
	d.Logger.Error("a notice is lost: its outbox recipient was given up", "queue_id", t.QueueID, "recipient", recipient,
		"sender", t.ReversePath, "message_id", pec.MessageID(t.Message.Header), "error", cause)
	return nil
}

// queuedSince is when our MTA took the message of a queue file: the date of the
// topmost Received field, which is the MTA's own (RFC 5321 section 4.4).
func queuedSince(h pec.Header) (since time.Time, known bool) {
	value := h.Get("Received")
	date := value[strings.LastIndexByte(value, ';')+1:]
	since, err := mail.ParseDate(strings.Join(strings.Fields(date), " "))
	return since, err == nil
}
