package explore

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pec-milter/pec-milter/internal/point"
)

// world is one state of everything around the doors of one provider: what is
// durable, what is on its way, and what goes on although nobody waits for it any
// more. It is a value: a run changes a copy.
type world struct {
	now    time.Time
	sql    database
	kv     keyvalue
	queue  []letter      // of our MTA
	peers  []letter      // for us, in the queues of others
	boxes  table[letter] // visible in the mailboxes, by recipient and trace header
	left   table[letter] // handed to other hosts
	hung   []*hung
	client client
	memory memory
	waited int // how often time was let pass for a lease to run out
	ticks  int // of the timer, so far
}

// letter is a message in a queue or a mailbox: its content is known by its sum.
type letter struct {
	From, To, Sum string // several forward paths are parted by a comma
}

func (l letter) recipients() []string { return strings.Split(l.To, ",") }

// client submits one message, and tries again as long as it was not told that it
// is accepted; or does not.
type client struct {
	Attempts int
	Told     bool // it got its 250
}

// hung is a step that goes on although its caller has given it up.
type hung struct {
	action action
	log    []answer // what it was told so far
	node   int
	name   fingerprint
}

func (w *world) copy() *world {
	c := *w
	c.sql, c.kv = w.sql.shared(), w.kv.shared()
	c.boxes, c.left, c.memory = w.boxes.shared(), w.left.shared(), w.memory.shared()
	c.queue, c.peers, c.hung = slices.Clone(w.queue), slices.Clone(w.peers), slices.Clone(w.hung)
	return &c
}

func (w *world) fingerprint() fingerprint {
	h := sha256.New()
	for _, sum := range append(w.sql.fingerprints(), w.kv.leases.fingerprint(),
		w.boxes.fingerprint(), w.left.fingerprint(), w.memory.queued.fingerprint(), w.memory.sent.fingerprint(),
		w.memory.notices.fingerprint(), w.memory.timeouts.fingerprint()) {
		h.Write(sum[:])
	}
	for _, hung := range w.hung {
		h.Write(hung.name[:])
	}
	for _, l := range slices.Concat(w.queue, []letter{{}}, w.peers) {
		h.Write([]byte(l.Sum + l.To + ";"))
	}
	fmt.Fprint(h, w.now.UnixNano(), w.client, w.waited, w.ticks)
	return fingerprint(h.Sum(nil))
}

// atRest tells whether nothing is on its way any more, and the timer owes nothing.
func (w *world) atRest() bool { return len(w.queue)+len(w.peers)+len(w.hung) == 0 && !w.owesNotice() }

// owesNotice tells whether a time-out notice was decided and could not be issued.
func (w *world) owesNotice() bool {
	for _, wait := range w.sql.waits.all() {
		intent, _ := w.sql.intents.get(idText(wait.Transaction))
		first := timeoutLine(intent.Facts.Data.Sender, wait.ID, wait.Recipient, false)
		if !wait.over && (!wait.Last.IsZero() || !wait.First.IsZero() && !w.memory.timeouts.has(first)) {
			return true
		}
	}
	return false
}

// fails tells whether an action that nothing went wrong with has come to nothing:
// a lease, or the hold of a repeat, stood in its way.
func (w *world) fails(a action) bool {
	return slices.Contains(w.queue, a.Letter) || slices.Contains(w.peers, a.Letter) || a.Kind == timer && w.owesNotice()
}

// logged tells whether the legal log has such a row.
func (w *world) logged(fits func(point.Event) bool) bool {
	for _, e := range w.sql.events.all() {
		if fits(e) {
			return true
		}
	}
	return false
}

// without is a queue without one letter, if it has it.
func without(queue []letter, l letter) []letter {
	n := slices.Index(queue, l)
	if n < 0 {
		return queue
	}
	return slices.Delete(slices.Clone(queue), n, n+1)
}

// tried is a queue of which one letter is being tried.
func (s *scenario) tried(queue []letter, l letter) []letter {
	if s.order == inOrder || !slices.Contains(queue, l) {
		return queue
	}
	return append(without(queue, l), l)
}
