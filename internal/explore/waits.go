package explore

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/pec-milter/pec-milter/internal/point"
	"github.com/pec-milter/pec-milter/pec"
)

func waitKey(msgid, recipient string) string { return msgid + " " + pec.CanonicalAddress(recipient) }

func (s sql) Await(_ context.Context, waits ...point.Wait) error {
	for _, w := range waits {
		if key := waitKey(w.ID, w.Recipient); !s.w.sql.waits.has(key) {
			s.w.sql.waits.put(key, wait{Wait: w})
		}
	}
	return nil
}

// changeWait changes a wait that is there and fits.
func (s sql) changeWait(msgid, recipient string, fits func(wait) bool, change func(*wait)) {
	key := waitKey(msgid, recipient)
	if w, there := s.w.sql.waits.get(key); there && fits(w) {
		change(&w)
		s.w.sql.waits.put(key, w)
	}
}

func (s sql) Taken(_ context.Context, msgid string, recipients []string, at time.Time) error {
	for _, r := range recipients {
		s.changeWait(msgid, r, func(w wait) bool { return w.Taken.IsZero() }, func(w *wait) { w.Taken = at })
	}
	return nil
}

func (s sql) Ended(_ context.Context, msgid, recipient string, _ time.Time) error {
	s.changeWait(msgid, recipient, func(wait) bool { return true }, func(w *wait) { w.over = true })
	return nil
}

func (s sql) Over(ctx context.Context, w point.Wait) error {
	return s.Ended(ctx, w.ID, w.Recipient, time.Time{})
}

func (s sql) Waits(_ context.Context, before time.Time) ([]point.Wait, error) {
	var waits []point.Wait
	for _, w := range s.w.sql.waits.all() {
		if !w.over && !w.Since.After(before) {
			waits = append(waits, w.Wait)
		}
	}
	slices.SortFunc(waits, func(a, b point.Wait) int {
		return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.ID, b.ID), cmp.Compare(a.Recipient, b.Recipient))
	})
	return waits, nil
}

func (s sql) DecideFirst(_ context.Context, w point.Wait, at time.Time) (point.Wait, error) {
	undecided := func(w wait) bool { return w.First.IsZero() && w.Taken.IsZero() && !w.over }
	s.changeWait(w.ID, w.Recipient, undecided, func(w *wait) { w.First = at; s.checkDecision(w.Wait, pec.ServerAcceptance) })
	decided, _ := s.w.sql.waits.get(waitKey(w.ID, w.Recipient))
	return decided.Wait, nil
}

func (s sql) DecideLast(_ context.Context, w point.Wait, at time.Time) (point.Wait, error) {
	undecided := func(w wait) bool { return w.Last.IsZero() && !w.over }
	s.changeWait(w.ID, w.Recipient, undecided, func(w *wait) { w.Last = at; s.checkDecision(w.Wait, pec.Delivery) })
	decided, _ := s.w.sql.waits.get(waitKey(w.ID, w.Recipient))
	return decided.Wait, nil
}
