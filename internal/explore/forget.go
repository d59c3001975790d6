package explore

import (
	"slices"
	"time"

	"github.com/pec-milter/pec-milter/internal/point"
	"github.com/pec-milter/pec-milter/pec"
)

// forget drops from the world of a run what nothing can observe any more, so that
// more worlds are the same. What the doors read must not change by it, but for
// what they never look at: each function says why.
func (r *run) forget(b Bounds) {
	w := r.w
	if len(w.memory.queued.rows) > 0 && (w.client.Told || w.client.Attempts == b.Attempts) {
		w.client = client{b.Attempts, true} // what it was told is looked at where nothing was queued
	}
	noClient := r.mail.Sum == "" || w.client.Told
	w.forgetState()
	w.forgetDates()
	if noClient {
		w.forgetQueued()
	}
	if len(w.hung) > 0 {
		return // it may have recorded a verdict, and be about to inject; or have read a date
	}
	w.forgetVerdicts(r.contents)
	w.forgetDecided()
	if noClient && len(w.peers) == 0 {
		w.forgetSent()
	}
}

// forgetState drops leases that have run out, and those of work that is over. Work on one letter, and on what a client submits, has keys of its
// own. Should other work ask for one of them, it finds what it would find if the
// lease had been given back in time and Redis had forgotten: that is explored.
func (w *world) forgetState() {
	for key, l := range w.kv.leases.all() {
		if !l.Expires.After(w.now) || w.over(l.By) {
			w.kv.leases.remove(key)
		}
	}
}

// over tells whether some work is not begun again, and no step of it hangs.
func (w *world) over(a action) bool {
	if slices.ContainsFunc(w.hung, func(h *hung) bool { return h.action.work() == a }) {
		return false
	}
	switch a.Kind {
	case submits:
		return w.client.Told
	case timer:
		return false
	}
	return !slices.Contains(w.queue, a.Letter) && !slices.Contains(w.peers, a.Letter)
}

// forgetDates drops those that stand in no notice and by which nothing is
// decided: when a notice was judged (an envelope is given up by its age); when a
// delivery ended that owes no notice; when a message was seen in the queue, or was
// taken charge of: only whether.
func (w *world) forgetDates() {
	w.sql.verdicts.change(func(v *point.Judgement) bool {
		return v.Kind != pec.Envelope && replace(&v.Time, time.Time{})
	})
	w.sql.outcomes.change(func(o *point.Outcome) bool {
		return o.Kind == "" && replace(&o.Time, time.Time{})
	})
	w.sql.intents.change(func(i *point.Intent) bool {
		return !i.Committed.IsZero() && replace(&i.Committed, i.Time)
	})
	w.sql.waits.change(func(w *wait) bool {
		return !w.Taken.IsZero() && replace(&w.Taken, w.Since)
	})
}

// forgetQueued drops when messages were queued: it tells whether a client's
// repeat is one within the hold.
func (w *world) forgetQueued() {
	w.memory.queued.change(func(at *time.Time) bool { return replace(at, time.Time{}) })
}

// forgetSent drops when attempts were sent, once nobody tries again.
func (w *world) forgetSent() {
	w.sql.intents.change(func(i *point.Intent) bool {
		return !i.SentAt.IsZero() && replace(&i.SentAt, i.Time)
	})
}

// forgetDecided drops what a timer decided that has nothing to do any more.
func (w *world) forgetDecided() {
	w.sql.waits.change(func(w *wait) bool {
		return w.over && replace(&w.Wait, point.Wait{ID: w.ID, Recipient: w.Recipient, Transaction: w.Transaction, Since: w.Since})
	})
}

// replace tells whether a value is another one now.
func replace[T comparable](old *T, by T) bool {
	changed := *old != by
	*old = by
	return changed
}

// forgetVerdicts drops those about bytes that are in no queue: the doors ask for
// a verdict with the message in hand, and record it before the message goes into
// a queue.
func (w *world) forgetVerdicts(c *contents) {
	asked := map[[32]byte]bool{}
	for _, l := range slices.Concat(w.queue, w.peers) {
		if s := c.get(l.Sum).signature; s != nil {
			asked[s.Digest] = true
		}
	}
	for key, v := range w.sql.verdicts.all() {
		if !asked[v.Digest] {
			w.sql.verdicts.remove(key)
		}
	}
}
