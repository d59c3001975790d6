package explore

import (
	"encoding/base32"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pec-milter/pec-milter/internal/point"
	"github.com/pec-milter/pec-milter/pec"
)

// memory is what the invariants must know of the past.
type memory struct {
	queued  table[time.Time] // by queueName: when it first came into our queue
	sent    table[time.Time] // PEC msgid: when the first attempt that reached SENT began
	notices table[string]    // Message-ID of a notice: the sum of its bytes
	// timeouts are the lines of the time-out notices that were issued. One that
	// was decided is not, where the receipt comes before it can be.
	timeouts table[bool]
}

func (m memory) shared() memory {
	return memory{m.queued.shared(), m.sent.shared(), m.notices.shared(), m.timeouts.shared()}
}

// resumeTime is for how long a repeat is the same submission.
const resumeTime = 15 * time.Minute

// markedSent: an attempt reached SENT.
func (r *run) markedSent(i point.Intent) {
	if id := i.Facts.Data.ID; !r.w.memory.sent.has(id) {
		r.w.memory.sent.put(id, r.w.now)
	}
}

// queueName is what a message in our queue is known by: its PEC msgid, or of a
// submission that was refused the transaction in its outbox address.
func queueName(c *content, outbox []string) string {
	if c.data != nil || len(outbox) == 0 {
		return c.id()
	}
	return strings.Split(outbox[0], ".")[1]
}

// transactionName is the transaction as an outbox address has it.
func transactionName(id point.TransactionID) string {
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(id[:]))
}

// committed: a message is in our queue. Its row of the legal log was there
// before, and the client's repeats within the hold have the same PEC msgid.
func (r *run) committed(sum string, outbox []string) {
	c := r.contents.get(sum)
	name := queueName(c, outbox)
	if c.data != nil && !r.w.logged(func(e point.Event) bool {
		return e.ID == name && (e.Kind == point.EventAccepted || e.Kind == point.EventReceived)
	}) {
		r.violate("in the queue without a row of the legal log: %s", name)
	}
	if r.w.memory.queued.has(name) {
		return
	}
	for other, at := range r.w.memory.queued.all() {
		if r.action.Kind == submits && c.data != nil && r.w.now.Sub(at) <= resumeTime {
			r.violate("one submission has two PEC msgids within %v: %s and %s", resumeTime, other, name)
		}
	}
	r.w.memory.queued.put(name, r.w.now)
}

// checkNotice: a notice is about to be injected.
func (r *run) checkNotice(l letter) {
	c := r.contents.get(l.Sum)
	if c.data == nil {
		r.violate("injected without certification data: %s", c.messageID)
		return
	}
	if !r.w.logged(func(e point.Event) bool { return e.Kind == point.EventIssuing && e.NoticeID == c.messageID }) {
		r.violate("injected without a row of the legal log before: %s", r.describe(l))
	}
	if before, issued := r.w.memory.notices.get(c.messageID); issued && before != l.Sum {
		r.violate("issued again with other bytes: %s", r.describe(l))
	}
	r.w.memory.notices.put(c.messageID, l.Sum)
	if c.data.Kind == pec.TimeoutNotice {
		r.w.memory.timeouts.put(timeoutLine(l.To, c.data.ID, c.data.Delivered, final(c.data.Detail)), true)
	}
	r.checkOccasion(c.data)
}

// checkOccasion: what a notice speaks of has happened.
func (r *run) checkOccasion(d *pec.CertificationData) {
	switch d.Kind {
	case pec.NonAcceptance:
		if len(r.w.memory.queued.rows) == 0 {
			r.violate("%s without its message", d.Kind)
		}
		return
	case pec.Delivery:
		if !r.w.stored(r.contents, pec.Envelope, d.ID, d.Delivered) {
			r.violate("delivery receipt before the delivery to %s", d.Delivered)
		}
	case pec.NonDelivery:
		if r.w.stored(r.contents, pec.Envelope, d.ID, d.Delivered) {
			r.violate("%s for %s, which has the message", d.Kind, d.Delivered)
		}
	case pec.Acceptance:
		if sent, there := r.w.memory.sent.get(d.ID); !there || d.Time.Before(pec.LegalTime(sent)) {
			r.violate("acceptance of %v, before the attempt that was sent at %v", d.Time, sent)
		}
	}
	if !r.w.memory.queued.has(d.ID) {
		r.violate("%s without its message %s", d.Kind, d.ID)
	}
}

// stored tells whether a message of that kind and id is in a mailbox.
func (w *world) stored(all *contents, kind pec.Kind, id, mailbox string) bool {
	for _, l := range w.boxes.all() {
		if c := all.get(l.Sum); l.To == mailbox && c.kind() == kind && c.data.ID == id {
			return true
		}
	}
	return false
}

// checkDecision: it was decided to tell the sender that nothing came. The legal
// log does not have it as received.
func (r *run) checkDecision(w point.Wait, awaited pec.Kind) {
	if r.w.logged(func(e point.Event) bool {
		return e.Kind == point.EventDelivered && e.ID == w.ID && (e.Notice == awaited || e.Notice == pec.Delivery)
	}) {
		r.violate("%s for %s is in the log, and it was decided that it did not come", awaited, w.Recipient)
	}
}

// checkStore: a message is about to be stored.
func (r *run) checkStore(l letter) {
	if !r.w.logged(func(e point.Event) bool { return e.Kind == point.EventDelivering && e.Delivered == l.To }) {
		r.violate("stored without a row of the legal log before: %s for %s", r.describe(l), l.To)
	}
}

// checkRest: nothing is on its way any more, so all that is due must be there,
// once, and nothing else. It gives that.
func (r *run) checkRest() (arrived []string) {
	if r.w.client.Told && len(r.w.memory.queued.rows) == 0 {
		r.violate("lost: the client had its 250")
	}
	got, want := r.arrived(), r.due()
	for _, line := range difference(want, got) {
		r.violate("missing: %s", line)
	}
	for _, line := range difference(got, want) {
		r.violate("too much: %s", line)
	}
	return got
}

// arrived is what is visible in the mailboxes, and what left for others: of that
// a repeat with the same bytes does not count.
func (r *run) arrived() []string {
	var lines []string
	for _, l := range r.w.boxes.all() {
		lines = append(lines, r.lines(l)...)
	}
	for _, l := range r.w.left.all() {
		lines = append(lines, r.lines(l)...)
	}
	slices.Sort(lines)
	return lines
}

// lines are what one letter says to its recipient.
func (r *run) lines(l letter) []string {
	c := r.contents.get(l.Sum)
	if c.data == nil {
		return []string{line(l.To, "", "", "")}
	}
	if c.data.Kind == pec.TimeoutNotice {
		return []string{timeoutLine(l.To, c.data.ID, c.data.Delivered, final(c.data.Detail))}
	}
	if c.data.Kind != pec.ServerAcceptance {
		return []string{line(l.To, c.data.Kind, c.data.ID, c.data.Delivered)}
	}
	var lines []string
	for _, taken := range c.data.TakenFor {
		lines = append(lines, line(l.To, c.data.Kind, c.data.ID, taken))
	}
	return lines
}

func line(mailbox string, kind pec.Kind, id, about string) string {
	return strings.TrimSpace(fmt.Sprintf("%s %s %s %s", mailbox, kind, id, about))
}

func timeoutLine(mailbox, id, recipient string, final bool) string {
	if final {
		return line(mailbox, pec.TimeoutNotice, id, recipient+", 24 h")
	}
	return line(mailbox, pec.TimeoutNotice, id, recipient+", 12 h")
}

// difference is what a has and b has not, or not as often.
func difference(a, b []string) []string {
	var more []string
	left := slices.Clone(b)
	for _, s := range a {
		if n := slices.Index(left, s); n >= 0 {
			left = slices.Delete(left, n, n+1)
		} else {
			more = append(more, s)
		}
	}
	return more
}
