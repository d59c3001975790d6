package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pec-milter/pec-milter/pec"
)

// due is something that must happen, once: a message that arrives, or what is
// seen elsewhere than in a mailbox. The zero value is nothing.
type due struct {
	what     string // the kind of a message
	where    string // the mailbox
	provider string // who certifies it
	about    string // the recipient or recipients that it speaks of
	failure  string // errore, and the code with which errore-esteso begins
}

func (d due) String() string {
	text := d.where + ": " + d.what
	for _, more := range []struct{ word, value string }{{"", d.failure}, {"by ", d.provider}, {"for ", d.about}} {
		if more.value != "" {
			text += " " + more.word + more.value
		}
	}
	return text
}

// short is what tells the outcomes of one scenario apart.
func (d due) short() string {
	if d == (due{}) {
		return ""
	}
	kind, code, found := strings.Cut(d.failure, " ")
	if !found {
		code = kind
	}
	return strings.TrimSpace(firstName(d.where) + ": " + d.what + " " + code)
}

// firstName is what stands before the first dot of an address: "mario", or
// "ricevute@alfa" of a service mailbox.
func firstName(address string) string {
	name, _, _ := strings.Cut(address, ".")
	return name
}

// arrives is a message that is due.
func arrives(kind pec.Kind, mailbox, provider, about string) due {
	return due{what: name(kind), where: mailbox, provider: provider, about: about}
}

// failed is a notice that is due, and how it tells of the failure.
func failed(kind pec.Kind, mailbox, provider, about, failure string) due {
	d := arrives(kind, mailbox, provider, about)
	d.failure = failure
	return d
}

// answered is the SMTP reply that the client must get.
func answered(code int) due { return due{what: fmt.Sprint(code), where: "client"} }

// quarantined is an infected message that a provider must keep, for 30 months.
func quarantined(provider string) due {
	return due{what: "infected message", where: "quarantine of " + provider}
}

// name is the kind on the wire, but for the anomaly envelope: that says "errore".
func name(kind pec.Kind) string {
	if kind == pec.Anomaly {
		return "anomaly envelope"
	}
	return string(kind)
}

// certified and mixed are the recipients as accettazione and envelope tell of them.
func certified(addresses ...string) string { return mixed(addresses, nil) }

func mixed(certified, ordinary []string) string {
	var all []string
	for _, address := range certified {
		all = append(all, describe(address, pec.Certified))
	}
	for _, address := range ordinary {
		all = append(all, describe(address, pec.Ordinary))
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}

func describe(address string, kind pec.RecipientKind) string { return address + " " + string(kind) }

// asDue is an arrived message in the form of what is due.
func (a arrival) asDue() due {
	data := a.certified.Data
	d := due{what: name(data.Kind), where: a.mailbox, provider: a.provider, failure: a.failure()}
	switch data.Kind {
	case pec.Acceptance, pec.NonAcceptance, pec.Envelope:
		var all []string
		for _, r := range data.Recipients {
			all = append(all, describe(r.Address, r.Kind))
		}
		slices.Sort(all)
		d.about = strings.Join(all, ", ")
	case pec.ServerAcceptance:
		d.about = strings.Join(slices.Sorted(slices.Values(data.TakenFor)), ", ")
	default:
		d.about = data.Delivered
	}
	return d
}

// failure is the error that a notice tells of; empty if it tells of none. The code
// is that of AgID's Nota 12.
func (a arrival) failure() string {
	data := a.certified.Data
	if data.Error == "nessuno" {
		return ""
	}
	code, _, found := strings.Cut(data.Detail, " - ")
	if !found || strings.Trim(code, "0123456789.") != "" {
		return data.Error
	}
	return data.Error + " " + code
}

// pair is what was due, and the same as it happened; one of the two is zero if
// something is missing, or was not due.
type pair struct{ expected, got due }

// compare finds what is due in what happened: first all that was due, in its
// order, then what was not due, or was due once and came again.
func compare(expected, got []due) []pair {
	left := slices.Clone(got)
	var pairs []pair
	for _, d := range expected {
		p := pair{expected: d}
		if n := slices.Index(left, d); n >= 0 {
			p.got = d
			left = slices.Delete(left, n, n+1)
		}
		pairs = append(pairs, p)
	}
	for _, d := range left {
		pairs = append(pairs, pair{got: d})
	}
	return pairs
}

// compared is what is due in the scene, and what has happened so far.
func (s *scene) compared() []pair {
	got := slices.Clone(s.others)
	for _, a := range s.arrived {
		got = append(got, a.asDue())
	}
	return compare(s.scenario.due, got)
}

// missing is what is due and has not happened.
func (s *scene) missing() []string {
	var missing []string
	for _, p := range s.compared() {
		if p.got == (due{}) {
			missing = append(missing, p.expected.String())
		}
	}
	return missing
}

// unexpected is what has happened and is not due.
func (s *scene) unexpected() []string {
	var unexpected []string
	for _, p := range s.compared() {
		if p.expected == (due{}) {
			unexpected = append(unexpected, p.got.String())
		}
	}
	return unexpected
}
