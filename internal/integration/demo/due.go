package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pec-milter/pec-milter/pec"
)

// due is a message that must arrive, once.
type due struct {
	kind     pec.Kind
	mailbox  string
	provider string // who certifies it
	about    string // the recipient or recipients that it speaks of
}

func (d due) String() string {
	return fmt.Sprintf("%s by %s in %s for %s", d.kind, d.provider, d.mailbox, d.about)
}

// allDue is what RFC 6109 makes of one message to a user of another provider, to
// one of the same provider, and to an ordinary address: for that there is the
// envelope and no notice.
func (s *scene) allDue() []due {
	alfa, beta := s.alfa().Title, s.beta().Title
	everybody := describeRecipients(
		remote, pec.Certified, colleague, pec.Certified, outsider, pec.Ordinary)
	return []due{
		{pec.Acceptance, sender, alfa, everybody},
		{pec.Envelope, remote, alfa, everybody},
		{pec.Envelope, colleague, alfa, everybody},
		{pec.Envelope, outsider, alfa, everybody},
		{pec.ServerAcceptance, s.alfa().MailReceipt, beta, remote},
		{pec.ServerAcceptance, s.alfa().MailReceipt, alfa, colleague},
		{pec.Delivery, sender, beta, remote},
		{pec.Delivery, sender, alfa, colleague},
	}
}

// describeRecipients joins addresses and their kinds, in the order of addresses.
func describeRecipients(addressesAndKinds ...any) string {
	var all []string
	for i := 0; i < len(addressesAndKinds); i += 2 {
		all = append(all, fmt.Sprintf("%s %s", addressesAndKinds[i], addressesAndKinds[i+1]))
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}

// asDue is an arrived message in the form of what is due.
func (a arrival) asDue() due {
	data := a.certified.Data
	d := due{kind: data.Kind, mailbox: a.mailbox, provider: data.Provider}
	switch data.Kind {
	case pec.Acceptance, pec.Envelope:
		var all []any
		for _, r := range data.Recipients {
			all = append(all, r.Address, r.Kind)
		}
		d.about = describeRecipients(all...)
	case pec.ServerAcceptance:
		d.about = strings.Join(data.TakenFor, ", ")
	default:
		d.about = data.Delivered
	}
	return d
}

// missing is what is due and has not arrived.
func (s *scene) missing() []string {
	arrived := make(map[due]int)
	for _, a := range s.arrived {
		arrived[a.asDue()]++
	}
	var missing []string
	for _, d := range s.allDue() {
		if arrived[d] == 0 {
			missing = append(missing, d.String())
		}
	}
	return missing
}

// unexpected is what has arrived and is not due, or was due once and came again.
func (s *scene) unexpected() []string {
	expected := make(map[due]int)
	for _, d := range s.allDue() {
		expected[d]++
	}
	var unexpected []string
	for _, a := range s.arrived {
		d := a.asDue()
		expected[d]--
		if expected[d] < 0 {
			unexpected = append(unexpected, d.String())
		}
	}
	return unexpected
}
