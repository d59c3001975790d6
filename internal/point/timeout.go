package point

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/pec-milter/pec-milter/pec"
)

// The times after which the sender is told that nothing came (RFC 6109 section
// 3.1.6). The second notice may come from 22 to 24 hours after dispatch; it
// waits for what the delivery door itself gives up on at 23 hours.
const (
	firstNoticeAfter = 12 * time.Hour
	lastNoticeAfter  = 23*time.Hour + 30*time.Minute
)

// awaited is what we wait for: the certified recipients of a message that is in
// the queue. There is no timer for ordinary ones.
func awaited(intent *Intent) []Wait {
	var waits []Wait
	for _, r := range intent.Facts.Data.Recipients {
		if r.Kind == pec.Certified {
			waits = append(waits, Wait{
				ID: intent.Facts.Data.ID, Recipient: pec.CanonicalAddress(r.Address), Transaction: intent.ID, Since: intent.Time,
			})
		}
	}
	return waits
}

// settled is what a notification that is stored ends: by the delivery point, for
// only then the sender can know.
func (d *DeliveryPoint) settled(ctx context.Context, m *message) (Settlement, error) {
	if m.Kind != pec.ServerAcceptance && m.Kind != pec.Delivery && m.Kind != pec.NonDelivery {
		return Settlement{}, nil
	}
	intent, err := d.Records.Submission(ctx, m.data.ID)
	if errors.Is(err, ErrUnknown) {
		return Settlement{}, nil // no message of ours: nothing is waited for
	}
	if err != nil {
		return Settlement{}, err
	}
	if m.Kind == pec.ServerAcceptance {
		return Settlement{Taken: awaitedFor(intent, m.data.TakenFor...)}, nil
	}
	return Settlement{Ended: awaitedFor(intent, m.data.Delivered)}, nil
}

// awaitedFor is what we wait for from these recipients.
func awaitedFor(intent *Intent, recipients ...string) []Wait {
	return slices.DeleteFunc(awaited(intent), func(w Wait) bool {
		return !slices.ContainsFunc(recipients, func(r string) bool { return pec.CanonicalAddress(r) == w.Recipient })
	})
}

// Timeouts issues the notices whose time has come; the only work that no queue
// drives. It is called every minute, and may be called on several nodes. What
// fails is tried again the next time; the error is for the log.
func (d *DeliveryPoint) Timeouts(ctx context.Context) error {
	if err := d.believeClock(); err != nil {
		return err
	}
	now := d.Clock()
	waits, err := d.Records.Waits(ctx, now.Add(-firstNoticeAfter))
	if err != nil {
		return fmt.Errorf("looking for overdue notifications: %w", err)
	}
	var errs []error
	for _, w := range waits {
		if err := d.timeout(ctx, w, now); err != nil {
			errs = append(errs, fmt.Errorf("overdue: %s for %s: %w", w.ID, w.Recipient, err))
		}
	}
	return errors.Join(errs...)
}

// timeout decides, records, issues. A decision stands: after a crash the notice
// goes out with the date that was recorded.
func (d *DeliveryPoint) timeout(ctx context.Context, w Wait, now time.Time) (err error) {
	if w.First.IsZero() && w.Taken.IsZero() {
		if w, err = d.Records.DecideFirst(ctx, w, pec.LegalTime(now)); err != nil {
			return err
		}
	}
	if w.Last.IsZero() && now.Sub(w.Since) >= lastNoticeAfter {
		if w, err = d.Records.DecideLast(ctx, w, pec.LegalTime(now)); err != nil {
			return err
		}
	}
	if !w.First.IsZero() {
		if err := d.timeoutNotice(ctx, w, w.First, false); err != nil {
			return err
		}
	}
	if w.Last.IsZero() {
		return nil
	}
	if err := d.timeoutNotice(ctx, w, w.Last, true); err != nil {
		return err
	}
	return d.Records.Over(ctx, w)
}

// timeoutNotice issues preavviso-errore-consegna. The code 5.4.1 is in the last
// one alone: consumers take it as final (Nota 12).
func (d *DeliveryPoint) timeoutNotice(ctx context.Context, w Wait, at time.Time, last bool) error {
	intent, err := d.Records.Intent(ctx, w.Transaction)
	if err != nil {
		return err
	}
	data := intent.Facts.Data
	data.Kind, data.Error, data.Time, data.ReceiptType, data.Delivered = pec.TimeoutNotice, pec.OtherError, at, "", w.Recipient
	data.Detail = pec.Reason("twelve-hours")
	if last {
		data.Detail = pec.FailureDetail("5.4.1", d.Identity.Name)
	}
	return d.issue(ctx, intent.Facts.QueueID, pec.Notice{
		Data: data, ID: d.timeoutNoticeID(w.ID, w.Recipient, last), To: data.Sender, Subject: intent.Facts.Subject, Final: last,
	})
}

func (d *DeliveryPoint) timeoutNoticeID(msgid, recipient string, last bool) string {
	sum := d.Secret.mac("timeout", []byte(msgid), []byte(recipient), fmt.Append(nil, last))
	return pec.NewID(sum[:20], d.Identity.Domain)
}
