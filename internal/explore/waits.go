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

// await begins waits that are not there yet.
func (s sql) await(waits []point.Wait) {
	for _, w := range waits {
		if key := waitKey(w.ID, w.Recipient); !s.w.sql.waits.has(key) {
			s.w.sql.waits.put(key, wait{Wait: w})
		}
	}
}

func (s sql) settle(settled point.Settlement, at time.Time) {
	s.await(slices.Concat(settled.Taken, settled.Ended))
	for _, t := range settled.Taken {
		s.changeWait(t, func(w wait) bool { return w.Taken.IsZero() }, func(w *wait) { w.Taken = at })
	}
	for _, e := range settled.Ended {
		s.changeWait(e, always, over)
	}
}

func always(wait) bool { return true }

func over(w *wait) { w.over = true }

// changeWait changes a wait that is there and fits.
func (s sql) changeWait(w point.Wait, fits func(wait) bool, change func(*wait)) {
	key := waitKey(w.ID, w.Recipient)
	if w, there := s.w.sql.waits.get(key); there && fits(w) {
		change(&w)
		s.w.sql.waits.put(key, w)
	}
}

func (s sql) Over(_ context.Context, w point.Wait) error {
	s.changeWait(w, always, over)
	return nil
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
	s.changeWait(w, undecided, func(w *wait) { w.First = at; s.checkDecision(w.Wait, pec.ServerAcceptance) })
	decided, _ := s.w.sql.waits.get(waitKey(w.ID, w.Recipient))
	return decided.Wait, nil
}

func (s sql) DecideLast(_ context.Context, w point.Wait, at time.Time) (point.Wait, error) {
	undecided := func(w wait) bool { return w.Last.IsZero() && !w.over }
	s.changeWait(w, undecided, func(w *wait) { w.Last = at; s.checkDecision(w.Wait, pec.Delivery) })
	decided, _ := s.w.sql.waits.get(waitKey(w.ID, w.Recipient))
	return decided.Wait, nil
}
