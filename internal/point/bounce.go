package point

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/pec-milter/pec-milter/pec"
)

// bounce serves an unsigned message with the null reverse path at the delivery
// door: what our own MTA reports. (One that came from outside has passed the
// incoming door, and is in an anomaly envelope by now.)
//
// It tells whether the report is served with that; otherwise its recipient gets
// it in an anomaly envelope, as any unsigned message.
func (d *DeliveryPoint) bounce(ctx context.Context, t *Transaction, m *message, recipient string) (served bool, err error) {
	report, err := pec.ReadDSN(t.Message)
	if err != nil && !errors.Is(err, pec.ErrNoDSN) {
		return false, fmt.Errorf("reading a delivery report: %w", err)
	}
	if d.isService(recipient) {
		d.Logger.Error("a notice could not be delivered: the MTA gave it up", "queue_id", t.QueueID, "report", summary(report))
		return true, d.Log.Append(ctx, givenUpEvent(t, m, recipient, summary(report)))
	}
	intent, err := d.bounced(ctx, report, recipient)
	if err != nil || intent == nil {
		return false, err
	}
	ordinary, err := d.failures(ctx, t, report, intent)
	return !ordinary, err
}

// bounced is the submission that a report is about, if it is one of ours by the
// recipient of the report; nil otherwise.
func (d *DeliveryPoint) bounced(ctx context.Context, report *pec.DSN, recipient string) (*Intent, error) {
	if report == nil {
		return nil, nil
	}
	intent, err := d.Records.Submission(ctx, bareID(report.Returned))
	if errors.Is(err, ErrUnknown) || err == nil && !pec.SameAddress(intent.Facts.Data.Sender, recipient) {
		return nil, nil
	}
	return intent, err
}

// failures issues errore-consegna for each certified recipient that a report
// gives up, unless the 24 h notice is out already. It tells whether the report
// speaks of ordinary recipients too: their sender sees it as it is.
func (d *DeliveryPoint) failures(ctx context.Context, t *Transaction, report *pec.DSN, intent *Intent) (ordinary bool, err error) {
	for _, r := range report.Recipients {
		address := cmp.Or(r.Original, r.Final)
		switch kind := recipientKind(&intent.Facts.Data, address); {
		case isOutbox(address):
			d.Logger.Error("an outbox recipient was given up by the MTA: its notice is owed", "queue_id", t.QueueID, "id", intent.Facts.Data.ID)
		case kind != pec.Certified:
			ordinary = true
		case r.Action == pec.DSNFailed:
			if err := d.failure(ctx, t, r, intent, address); err != nil {
				return false, err
			}
		}
	}
	return ordinary, nil
}

// recipientKind is the kind of one recipient of a message; empty for none of its.
func recipientKind(d *pec.CertificationData, address string) pec.RecipientKind {
	for _, r := range d.Recipients {
		if pec.SameAddress(r.Address, address) {
			return r.Kind
		}
	}
	return ""
}

// failure issues errore-consegna for one recipient: RFC 6109 section 3.3.3.
func (d *DeliveryPoint) failure(ctx context.Context, t *Transaction, r pec.DSNRecipient, intent *Intent, address string) error {
	late, err := d.Log.Logged(ctx, EventIssued, d.timeoutNoticeID(intent.Facts.Data.ID, pec.CanonicalAddress(address), true))
	if err != nil {
		return err
	}
	if late {
		d.Logger.Info("failure after the 24 h notice: logged only", "queue_id", t.QueueID, "id", intent.Facts.Data.ID, "recipient", address)
		return nil
	}
	code, kind := r.Failure()
	detail := pec.FailureDetail(code, d.Identity.Name)
	outcome := Outcome{Kind: pec.NonDelivery, Time: pec.LegalTime(t.Time), Code: code, Error: kind, Detail: detail}
	return d.failureNotice(ctx, t, intent, address, outcome, "")
}

func summary(report *pec.DSN) string {
	if report == nil {
		return "not readable"
	}
	var lines []string
	for _, r := range report.Recipients {
		code, kind := r.Failure()
		lines = append(lines, fmt.Sprintf("%s: %s %s", r.Final, code, kind))
	}
	return strings.Join(lines, "; ")
}
