package legallog

import (
	"fmt"
	"iter"
	"maps"
	"slices"

	"github.com/pec-milter/pec-milter/internal/point"
	"github.com/pec-milter/pec-milter/pec"
)

// Breach is one rule of the daily log that is broken.
type Breach struct {
	ID   string // PEC msgid
	Rule string
}

func (b Breach) String() string { return b.ID + ": " + b.Rule }

// Audit checks a provider's log against the rules that hold for every finished
// message, whoever sent it (the official interoperability tests look at the
// logs of a day this way): one envelope and the same sender and recipients
// throughout, one acceptance if it is ours, each certified recipient taken
// charge of once and then delivered or failed once, a failure for each virus,
// nothing for ordinary recipients. What another provider's server refused nobody
// has taken charge of: there the failure that we issue is all. The breaches are in
// the order of the ids.
func Audit(rows iter.Seq2[Row, error]) ([]Breach, error) {
	messages := map[string]*audited{}
	for row, err := range rows {
		if err != nil {
			return nil, err
		}
		if row.ID == "" {
			continue
		}
		if messages[row.ID] == nil {
			messages[row.ID] = newAudited(row.Event)
		}
		messages[row.ID].add(row.Event)
	}
	var breaches []Breach
	for _, id := range slices.Sorted(maps.Keys(messages)) {
		for _, rule := range messages[id].breaches() {
			breaches = append(breaches, Breach{id, rule})
		}
	}
	return breaches, nil
}

// audited is what the log tells of one message.
type audited struct {
	first                       point.Event
	other                       bool // another row has another sender or other recipients
	accepted, received, refused int
	acceptances                 map[string]bool // by notice id, so that a notice logged twice counts once
	taken, ended                map[string]map[string]bool
	infected                    map[string]bool
	tried                       map[string]bool // delivery into a mailbox of ours was begun
	failedHere                  map[string]bool // the failure is one that we issued
}

func newAudited(first point.Event) *audited {
	return &audited{
		first: first, acceptances: map[string]bool{},
		infected: map[string]bool{}, tried: map[string]bool{}, failedHere: map[string]bool{},
		taken: map[string]map[string]bool{}, ended: map[string]map[string]bool{},
	}
}

func (a *audited) add(e point.Event) {
	if e.Sender != a.first.Sender || !slices.Equal(e.Recipients, a.first.Recipients) {
		a.other = true
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
