package explore

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"slices"
	"time"

	"github.com/pec-milter/pec-milter/internal/point"
	"github.com/pec-milter/pec-milter/pec"
)

// action is something that can happen in a world.
type action struct {
	Kind   actionKind
	Letter letter
	After  time.Duration // that passes before
	Hung   fingerprint   // which step goes on
	Tick   int           // of the timer
}

// work is the action whenever it is done.
func (a action) work() action { return action{Kind: a.Kind, Letter: a.Letter} }

type actionKind string

const (
	submits  actionKind = "the client submits"
	arrives  actionKind = "a peer hands over"
	delivers actionKind = "our MTA delivers"
	goesOn   actionKind = "a step goes on that its caller gave up"
	timer    actionKind = "the timer works"
	passes   actionKind = "time passes"
	forgets  actionKind = "Redis forgets"
)

// patience is for how long a lease, or the hold of a repeat, may stand in the way.
const patience = 5*time.Minute + time.Second

// actions are what can happen now by itself.
func (s *scenario) actions(w *world, b Bounds) []action {
	all := append(letters(arrives, w.peers, b.Order), letters(delivers, w.queue, b.Order)...)
	if s.mail.Sum != "" && !w.client.Told && w.client.Attempts < b.Attempts {
		for _, gap := range gaps(w) {
			all = append(all, action{Kind: submits, After: gap})
		}
	}
	for _, h := range w.hung {
		all = append(all, action{Kind: goesOn, Hung: h.name})
	}
	for n := range s.ticks {
		if n == w.ticks || n == w.ticks-1 { // the next, or the last one again
			all = append(all, action{Kind: timer, After: s.ticks[n], Tick: n + 1})
		}
	}
	return all
}

// lastNotice is the delivery of a notice to one of our users that nothing follows
// from: no notice is owed for it, and no timer waits for it. It and all else that
// can happen do not look at what the other one changes. So their order makes no
// difference, and this may be first; as long as nothing stands in its way.
func (s *scenario) lastNotice(w *world) (a action, there bool) {
	for _, l := range w.queue {
		switch s.contents.get(l.Sum).kind() {
		case pec.Acceptance, pec.NonAcceptance, pec.TimeoutNotice:
			return action{Kind: delivers, Letter: l}, true
		}
	}
	return action{}, false
}

func letters(kind actionKind, queue []letter, o order) []action {
	var all []action
	for n, l := range queue {
		if n == 0 || o == anyOrder && !slices.Contains(queue[:n], l) {
			all = append(all, action{Kind: kind, Letter: l})
		}
	}
	return all
}

// gaps are how long the client waits before it tries: within the hold, after it,
// and when the attempt before is void.
func gaps(w *world) []time.Duration {
	if w.client.Attempts == 0 {
		return []time.Duration{0}
	}
	return []time.Duration{10 * time.Second, 2 * time.Minute, 20 * time.Minute}
}

// do carries the action out.
func (a action) do(r *run) {
	if !r.resumed {
		r.begin(a)
	}
	switch a.Kind {
	case submits:
		r.submit()
	case arrives:
		r.arrive(a.Letter)
	case delivers:
		r.deliver(a.Letter)
	case timer:
		r.code(func() any { // what fails is done again in a minute
			return (&point.DeliveryPoint{Provider: r.provider()}).Timeouts(context.Background())
		})
	case passes:
		r.w.waited++
	case forgets:
		r.w.kv = keyvalue{}
	}
}

// begin lets the time pass before the action.
func (r *run) begin(a action) {
	if a.Tick > 0 && a.Tick <= r.w.ticks {
		a.After = 0
	}
	r.w.now, r.w.ticks = r.w.now.Add(a.After), max(r.w.ticks, a.Tick)
	if a.Kind == submits {
		r.w.client.Attempts++
	}
}

// submit is the client at the access door.
func (r *run) submit() {
	told := r.smtp(r.mail, func(t *point.Transaction) door {
		t.User = r.mail.From
		return &point.Access{Provider: r.provider()}
	})
	if told {
		r.w.client.Told = true
	}
}

// arrive is a peer's MTA at the incoming door.
func (r *run) arrive(l letter) {
	r.w.peers = r.tried(r.w.peers, l)
	if r.smtp(l, func(*point.Transaction) door { return &point.Incoming{Provider: r.provider()} }) {
		r.w.peers = without(r.w.peers, l)
	}
}

// door is what access and incoming point have in common.
type door interface {
	Handle(context.Context, *point.Transaction) (*point.Verdict, error)
}

// decision is what a door says at the end of a message.
type decision struct {
	*point.Verdict
	err  error
	sent error // of Verdict.Sent
}

// smtp is our MTA that asks a door at the end of a message, and tells whether its
// client had a 250 or a 5xx. A step that was given up has no say any more.
func (r *run) smtp(l letter, enter func(*point.Transaction) door) (told bool) {
	d := r.code(func() any { return r.decide(l, enter) }).(decision)
	switch {
	case r.resumed:
		return false
	case d.err != nil:
		return permanent(d.err)
	case d.Discard:
		return r.choose("250 of a repeat", lost250) == fine
	}
	return d.sent == nil && r.commit(d.Verdict, l)
}

// decide asks the door, as package milter does.
func (r *run) decide(l letter, enter func(*point.Transaction) door) (d decision) {
	t := r.transaction(l)
	d.Verdict, d.err = enter(t).Handle(context.Background(), t)
	if d.err != nil || d.Discard {
		return d
	}
	late := r.resumed && len(r.replay) == 0 // it went on after its time: nobody wants it any more
	if d.sent = r.changed(late); d.sent != nil {
		if d.Abandoned != nil {
			d.Abandoned()
		}
		return d
	}
	if r.eager && d.Replace != nil {
		r.tooEarly(d.Verdict, l)
	}
	if d.Sent != nil {
		d.sent = d.Sent(context.Background(), r.clock())
	}
	return d
}

// changed tells our MTA what becomes of the message.
func (r *run) changed(late bool) error {
	if late {
		return errFault
	}
	_, err := r.Around(context.Background(), change, func() (any, error) { return nil, nil })
	return err
}

// tooEarly issues the acceptance that a verdict owes.
func (r *run) tooEarly(v *point.Verdict, l letter) {
	envelope := letter{l.From, v.AddRecipients[0], r.contents.keep(written(v.Replace))}
	(&point.DeliveryPoint{Provider: r.provider()}).Deliver(context.Background(), r.transaction(envelope))
}

// commit puts what the door made of a message into our MTA's queue.
func (r *run) commit(v *point.Verdict, l letter) (told bool) {
	answer := r.choose("queue answer", mtaDies, lost250)
	if answer == mtaDies {
		return false
	}
	sum := l.Sum
	if v.Replace != nil {
		sum = r.contents.keep(written(v.Replace))
	}
	recipients := l.recipients()
	if v.RemoveRecipients {
		recipients = nil
	}
	for _, to := range append(recipients, v.AddRecipients...) {
		r.enqueue(letter{l.From, to, sum})
	}
	r.committed(sum, v.AddRecipients)
	return answer == fine
}

// enqueue puts a letter into our MTA's queue. What is for other hosts leaves at
// once: nothing that happens here depends on when it does.
func (r *run) enqueue(l letter) {
	domain := pec.Domain(l.To)
	if domain != point.OutboxDomain && domain != r.identity.Domain {
		r.w.left.put(l.To+l.Sum, l)
		return
	}
	r.w.queue = append(r.w.queue, l)
}

// deliver is our MTA that tries one recipient of what it has.
func (r *run) deliver(l letter) {
	r.w.queue = r.tried(r.w.queue, l)
	err, _ := r.code(func() any {
		return (&point.DeliveryPoint{Provider: r.provider()}).Deliver(context.Background(), r.transaction(l))[0]
	}).(error)
	if r.resumed || err != nil && !permanent(err) || r.choose("LMTP reply", lost) != fine {
		return
	}
	if err != nil {
		r.violate("bounced: %s for %s: %v", r.describe(l), l.To, err)
	}
	r.w.queue = without(r.w.queue, l)
}

func permanent(err error) bool {
	var reply *point.Reply
	return errors.As(err, &reply) && reply.Permanent()
}

// transaction is the message of a letter as a door gets it.
func (r *run) transaction(l letter) *point.Transaction {
	c := r.contents.get(l.Sum)
	return &point.Transaction{
		QueueID: "4Q", Time: r.clock(), ReversePath: l.From, Recipients: l.recipients(),
		Message: c.message, BodyDigest: c.bodyDigest,
	}
}

func written(message io.WriterTo) []byte {
	var b bytes.Buffer
	if _, err := message.WriteTo(&b); err != nil {
		panic(err) // a buffer takes everything
	}
	return b.Bytes()
}

func bodyDigest(m pec.Message) [32]byte {
	h := sha256.New()
	if _, err := io.Copy(h, io.NewSectionReader(m.Body, 0, m.Body.Size())); err != nil {
		panic(err) // it is in memory
	}
	return [32]byte(h.Sum(nil))
}
