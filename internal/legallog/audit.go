package legallog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"
	"time"

	"github.com/pec-milter/pec-milter/internal/point"
	"github.com/pec-milter/pec-milter/pec"
)

// Breach is one rule of the daily log that is broken.
type Breach struct {
	ID         string   `json:"id"` // PEC msgid
	Rule       string   `json:"rule"`
	Sender     string   `json:"sender"`
	Recipients []string `json:"recipients"`
}

func (b Breach) String() string { return b.ID + ": " + b.Rule }

// Audit is which messages are checked. Its zero value checks all.
type Audit struct {
	// From and To bound the time at which the message came into the log: not
	// before From, before To. Zero: no bound.
	From, To time.Time
	// Whole reads all rows of a message that seems to break a rule: there may be more
	// than are checked. nil: there are no more.
	Whole func(id string) ([]Row, error)
}

// Breaches checks a provider's log against the rules that hold for every finished
// message, whoever sent it (the official interoperability tests look at the
// logs of a day this way): one envelope and the same sender and recipients
// throughout, one acceptance if it is ours, each certified recipient taken
// charge of once and then delivered or failed once, a failure for each virus,
// nothing for ordinary recipients. What another provider's server refused nobody
// has taken charge of: there the failure that we issue is all. The breaches are in
// the order of the ids. After an error there are no more.
//
// The rows may be more than the memory holds: they are sorted by their messages in
// temporary files.
func (a *Audit) Breaches(rows iter.Seq2[Row, error]) iter.Seq2[Breach, error] {
	return func(yield func(Breach, error) bool) {
		var message *audited
		end := func() bool { return message == nil || a.end(message, yield) }
		for row, err := range sorted(rows) {
			if err != nil {
				yield(Breach{}, err)
				return
			}
			if message == nil || message.first.ID != row.ID {
				if !end() {
					return
				}
				message = newAudited(row.Event)
			}
			message.add(row.Event)
		}
		end()
	}
}

// end tells what is wrong with a message when all its rows are there.
func (a *Audit) end(message *audited, yield func(Breach, error) bool) bool {
	rules := message.breaches()
	if len(rules) > 0 && a.Whole != nil {
		rows, err := a.Whole(message.first.ID)
		if err != nil {
			yield(Breach{}, err)
			return false
		}
		message = newAudited(rows[0].Event)
		for _, row := range rows {
			message.add(row.Event)
		}
		rules = message.breaches()
	}
	if message.since.Before(a.From) || !a.To.IsZero() && !message.since.Before(a.To) {
		return true
	}
	for _, rule := range rules {
		b := Breach{ID: message.first.ID, Rule: rule, Sender: message.first.Sender}
		for _, r := range message.first.Recipients {
			b.Recipients = append(b.Recipients, r.Address)
		}
		if !yield(b, nil) {
			return false
		}
	}
	return true
}

// Breaches checks the messages that came into the log not before from, and before to;
// zero: no bound.
func (l *Log) Breaches(ctx context.Context, from, to time.Time, progress func(rows int64)) iter.Seq2[Breach, error] {
	return func(yield func(Breach, error) bool) {
		filter, err := l.between(ctx, from, to)
		if err != nil {
			yield(Breach{}, fmt.Errorf("reading the legal log: %w", err))
			return
		}
		a := Audit{From: from, To: to, Whole: func(id string) ([]Row, error) {
			of, err := l.rowsOf(ctx, []string{id})
			if err == nil && len(of[id]) == 0 {
				err = fmt.Errorf("the rows of %s have gone", id)
			}
			return of[id], err
		}}
		a.Breaches(Counted(l.Events(ctx, filter), progress))(yield)
	}
}

// finishedAfter is how long after a message its last rows come, as a rule: those
// that come later are read if they are missed.
const finishedAfter = 25 * time.Hour

// between chooses the rows of messages that came into the log in that time, and
// those in between.
func (l *Log) between(ctx context.Context, from, to time.Time) (Filter, error) {
	ctx, cancel := l.bound(ctx)
	defer cancel()
	filter := Filter{}
	var seq sql.Null[int64]
	if !from.IsZero() {
		until := int64(math.MaxInt64)
		if !to.IsZero() {
			until = to.UnixMicro()
		}
		err := l.db.QueryRowContext(ctx, "SELECT min(seq) FROM search WHERE term = 0 AND time >= $1 AND time < $2",
			from.UnixMicro(), until).Scan(&seq)
		if err != nil {
			return filter, err
		}
		if filter.After = seq.V - 1; !seq.Valid {
			filter.After = math.MaxInt64 // none came
		}
	}
	if to.IsZero() {
		return filter, nil
	}
	err := l.db.QueryRowContext(ctx, "SELECT seq FROM search WHERE term = 0 AND time >= $1 ORDER BY time, seq LIMIT 1",
		to.Add(finishedAfter).UnixMicro()).Scan(&seq)
	if errors.Is(err, sql.ErrNoRows) {
		return filter, nil
	}
	filter.Before = seq.V
	return filter, err
}

// Counted tells progress, now and then and in the end, how many rows were read; nil:
// nobody wants to know.
func Counted(rows iter.Seq2[Row, error], progress func(rows int64)) iter.Seq2[Row, error] {
	if progress == nil {
		return rows
	}
	return func(yield func(Row, error) bool) {
		var count int64
		for row, err := range rows {
			if err == nil {
				count++
			}
			if count%1000 == 0 {
				progress(count)
			}
			if !yield(row, err) {
				return
			}
		}
		progress(count)
	}
}

// audited is what the log tells of one message.
type audited struct {
	first                       point.Event
	since                       time.Time // when it came into the log; if no row tells, its first row
	introduced                  bool
	other                       bool // another row has another sender or other recipients
	accepted, received, refused int
	again                       map[point.EventKind]bool // recorded a second time: the first row was lost, once at least
	acceptances                 map[string]bool          // by notice id, so that a notice logged twice counts once
	taken, ended                map[string]map[string]bool
	infected                    map[string]bool
	tried                       map[string]bool // delivery into a mailbox of ours was begun
	failedHere                  map[string]bool // the failure is one that we issued
}

func newAudited(first point.Event) *audited {
	return &audited{
		first: first, since: first.Time, acceptances: map[string]bool{}, again: map[point.EventKind]bool{},
		infected: map[string]bool{}, tried: map[string]bool{}, failedHere: map[string]bool{},
		taken: map[string]map[string]bool{}, ended: map[string]map[string]bool{},
	}
}

func (a *audited) add(e point.Event) {
	if e.Sender != a.first.Sender || !slices.Equal(e.Recipients, a.first.Recipients) {
		a.other = true
	}
	if !a.introduced && introduces(&e) {
		a.since, a.introduced = e.Time, true
	}
	if e.RecordedAgain() {
		a.again[e.Kind] = true
		return
	}
	switch e.Kind {
	case point.EventAccepted:
		a.accepted++
	case point.EventReceived:
		a.received++
	case point.EventRefused:
		a.refused++
	case point.EventDelivering:
		a.tried[pec.CanonicalAddress(e.Delivered)] = true
	case point.EventIssued, point.EventNotification:
		a.addNotice(e)
	}
}

func (a *audited) addNotice(e point.Event) {
	switch e.Notice {
	case pec.Acceptance:
		a.acceptances[e.NoticeID] = true
	case pec.ServerAcceptance:
		for _, r := range e.TakenFor {
			note(a.taken, r, e.NoticeID)
		}
	case pec.Delivery, pec.NonDelivery:
		note(a.ended, e.Delivered, e.NoticeID)
		if e.Kind == point.EventIssued && e.Notice == pec.NonDelivery {
			a.failedHere[pec.CanonicalAddress(e.Delivered)] = true
		}
	case pec.VirusDetection:
		a.infected[pec.CanonicalAddress(e.Delivered)] = true
	}
}

// note notes that a notice speaks for a recipient.
func note(notices map[string]map[string]bool, recipient, noticeID string) {
	recipient = pec.CanonicalAddress(recipient)
	if notices[recipient] == nil {
		notices[recipient] = map[string]bool{}
	}
	notices[recipient][noticeID] = true
}

func (a *audited) breaches() []string {
	var rules []string
	if a.again[point.EventAccepted] {
		a.accepted = max(a.accepted, 1)
	}
	if a.again[point.EventReceived] {
		a.received = max(a.received, 1)
	}
	if a.other {
		rules = append(rules, "rows differ in sender or recipients")
	}
	if a.refused > 0 {
		return append(rules, a.refusedBreaches()...)
	}
	ours := a.accepted > 0
	if a.accepted > 1 || ours == (a.received > 0) {
		rules = append(rules, fmt.Sprintf("accepted %d times, received %d times", a.accepted, a.received))
	}
	if want := a.accepted; len(a.acceptances) != want {
		rules = append(rules, fmt.Sprintf("%d accettazione, want %d", len(a.acceptances), want))
	}
	for _, r := range a.first.Recipients {
		rules = append(rules, a.recipientBreaches(r, ours)...)
	}
	return rules
}

// refusedBreaches: of what was refused nothing else may be told.
func (a *audited) refusedBreaches() []string {
	if a.accepted+a.received+len(a.acceptances)+len(a.taken)+len(a.ended) > 0 {
		return []string{"refused, and accepted or delivered all the same"}
	}
	return nil
}

func (a *audited) recipientBreaches(r pec.Recipient, ours bool) []string {
	address := pec.CanonicalAddress(r.Address)
	taken, ended := len(a.taken[address]), len(a.ended[address])
	switch {
	case r.Kind == pec.Ordinary:
		return when(taken+ended > 0, "notices for ordinary recipient "+address)
	case !ours && taken == 0:
		return when(ended > 0, address+": delivered but not taken charge of") // another provider's
	case a.infected[address] && !ours:
		return when(taken != 1 || ended > 0, address+": infected, but delivered, or not taken charge of once")
	}
	charged := 1
	if ours && a.bounced(address) {
		charged = 0
	}
	return slices.Concat(
		when(taken != charged, fmt.Sprintf("%s: %d prese in carico, want %d", address, taken, charged)),
		when(ended != 1, fmt.Sprintf("%s: %d consegne or mancate consegne, want 1", address, ended)))
}

// bounced tells whether a message failed on its way to another provider: we told
// its sender so, though no mailbox of ours was tried and nobody reported a virus.
func (a *audited) bounced(address string) bool {
	return a.failedHere[address] && !a.tried[address] && !a.infected[address]
}

func when(broken bool, rule string) []string {
	if broken {
		return []string{rule}
	}
	return nil
}
