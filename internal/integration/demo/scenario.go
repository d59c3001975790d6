package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/pec-milter/pec-milter/pec"
)

// The people of the demo, and those who take part for them.
const (
	sender    = "mario.rossi@alfa.example"
	colleague = "anna.bianchi@alfa.example"
	remote    = "giulia.verdi@beta.example"
	outsider  = "luca.neri@ordinary.example"
	nobody    = "nessuno@beta.example" // there is no such mailbox

	alfa, beta = "Alfa PEC S.p.A.", "Beta PEC S.p.A."
	alfaBox    = "ricevute@alfa.example" // the service mailboxes
	betaBox    = "ricevute@beta.example"
)

// scenario is something that befalls a message, and what must come of it: that,
// once, and nothing else.
type scenario struct {
	name  string
	shows string // for a person: what to look for
	play  func(context.Context, *scene) error
	due   []due
	logs  func(*scene) error // judges the legal logs; nil: as after any scenario
	// evidence judges what the legal logs prove; nil: not after this one.
	evidence func(*scene) error
}

// choose finds the scenarios by the name that the user gave: none, one or all.
func choose(name string) ([]scenario, error) {
	all := scenarios()
	if name == "" {
		return nil, nil
	}
	if name == "all" {
		return all, nil
	}
	names := []string{"all"}
	for _, s := range all {
		if s.name == name {
			return []scenario{s}, nil
		}
		names = append(names, s.name)
	}
	return nil, fmt.Errorf("no scenario %q; there are: %s", name, strings.Join(names, ", "))
}

// mainJob is what RFC 6109 makes of one message to a user of another provider, to
// one of the same provider, and to an ordinary address: for that there is the
// envelope and no notice.
func mainJob() scenario {
	everybody := mixed([]string{remote, colleague}, []string{outsider})
	return scenario{
		name: "main-job", shows: "a certified message to another provider, to a colleague, to an ordinary address",
		play: playMainJob,
		due: []due{
			answered(250),
			arrives(pec.Acceptance, sender, alfa, everybody),
			arrives(pec.Envelope, remote, alfa, everybody),
			arrives(pec.Envelope, colleague, alfa, everybody),
			arrives(pec.Envelope, outsider, alfa, everybody),
			arrives(pec.ServerAcceptance, alfaBox, beta, remote),
			arrives(pec.ServerAcceptance, alfaBox, alfa, colleague),
			arrives(pec.Delivery, sender, beta, remote),
			arrives(pec.Delivery, sender, alfa, colleague),
		},
		logs: (*scene).checkLogs, evidence: (*scene).checkEvidence,
	}
}

// scenarios are those that come after the main job, in this order: the clock is
// moved last.
func scenarios() []scenario {
	return slices.Concat(refusals(), viruses(), failures(), ordinaryMail(), timeOuts())
}

// refusals: RFC 6109 section 3.1.2.
func refusals() []scenario {
	return []scenario{{
		name: "refused", shows: "a recipient that is neither in To nor in Cc: a signed refusal, and nothing leaves",
		play: letter{from: sender, to: []string{remote}, hidden: []string{colleague}}.submit,
		due: []due{
			answered(250),
			failed(pec.NonAcceptance, sender, alfa, certified(remote, colleague), "altro"),
		},
	}}
}

// viruses: RFC 6109 sections 3.1.3, 3.1.4 and 3.2.3, with the test virus of the
// antivirus industry.
func viruses() []scenario {
	return []scenario{{
		name: "virus-out", shows: "a virus that the sender's provider finds: a signed refusal, and nothing leaves",
		play: letter{from: sender, to: []string{remote}, virus: true}.submit,
		due: []due{
			answered(250),
			failed(pec.NonAcceptance, sender, alfa, certified(remote), "virus 5.5.1"),
			quarantined("alfa"),
		},
	}, {
		name: "virus-at-peer", shows: "a virus that only the other provider finds: its user does not get the message",
		play: letter{from: sender, to: []string{remote, outsider}, virus: true}.submitUnscannedBy("alfa"),
		due: []due{
			answered(250),
			arrives(pec.Acceptance, sender, alfa, mixed([]string{remote}, []string{outsider})),
			arrives(pec.Envelope, outsider, alfa, mixed([]string{remote}, []string{outsider})),
			arrives(pec.ServerAcceptance, alfaBox, beta, remote),
			failed(pec.VirusDetection, alfaBox, beta, remote, "virus"),
			failed(pec.NonDelivery, sender, alfa, remote, "virus 5.5.1"),
			quarantined("beta"),
		},
	}, {
		name: "virus-in", shows: "an envelope with a virus comes in for two users: neither gets it",
		play: letter{from: remote, to: []string{sender, colleague}, virus: true}.submitUnscannedBy("beta"),
		due: []due{
			answered(250),
			arrives(pec.Acceptance, remote, beta, certified(sender, colleague)),
			arrives(pec.ServerAcceptance, betaBox, alfa, colleague+", "+sender),
			failed(pec.VirusDetection, betaBox, alfa, sender, "virus"),
			failed(pec.VirusDetection, betaBox, alfa, colleague, "virus"),
			failed(pec.NonDelivery, remote, beta, sender, "virus 5.5.1"),
			failed(pec.NonDelivery, remote, beta, colleague, "virus 5.5.1"),
			quarantined("alfa"),
		},
	}}
}

// failures: RFC 6109 section 3.3.3.
func failures() []scenario {
	return []scenario{{
		name: "unknown-recipient", shows: "a mailbox that does not exist: a signed notice with the code 5.1.1",
		play: letter{from: sender, to: []string{nobody}}.submit,
		due: []due{
			answered(250),
			arrives(pec.Acceptance, sender, alfa, certified(nobody)),
			arrives(pec.ServerAcceptance, alfaBox, beta, nobody),
			failed(pec.NonDelivery, sender, beta, nobody, "no-dest 5.1.1"),
		},
	}, {
		name: "full-mailbox", shows: "a mailbox over its quota: a signed notice with the code 5.2.2, at once",
		play: playFullMailbox,
		due: []due{
			answered(250),
			arrives(pec.Acceptance, sender, alfa, certified(remote)),
			arrives(pec.ServerAcceptance, alfaBox, beta, remote),
			failed(pec.NonDelivery, sender, beta, remote, "altro 5.2.2"),
		},
	}}
}

// ordinaryMail: RFC 6109 section 3.2.2.
func ordinaryMail() []scenario {
	return []scenario{{
		name: "ordinary-refused", shows: "ordinary mail for a mailbox that wants none: the other server is told so",
		play: letter{from: outsider, to: []string{colleague}}.send,
		due:  []due{answered(554)},
	}, {
		name: "ordinary-taken", shows: "ordinary mail for a mailbox that takes it: in an anomaly envelope, without receipts",
		play: playOrdinaryTaken,
		due: []due{
			answered(250),
			arrives(pec.Anomaly, colleague, alfa, ""),
		},
	}}
}

// timeOuts: RFC 6109 section 3.1.6 and AgID's Nota 12: the code 5.4.1 is for the
// notice of 24 hours alone, and an ordinary recipient has neither.
func timeOuts() []scenario {
	everybody := mixed([]string{remote}, []string{outsider})
	toBoth := letter{from: sender, to: []string{remote, outsider}}
	accepted := []due{
		answered(250),
		arrives(pec.Acceptance, sender, alfa, everybody),
		arrives(pec.Envelope, outsider, alfa, everybody),
	}
	after12 := failed(pec.TimeoutNotice, sender, alfa, remote, "altro")
	after24 := failed(pec.TimeoutNotice, sender, alfa, remote, "altro 5.4.1")
	// When the other provider works again.
	delivered := []due{
		arrives(pec.Envelope, remote, alfa, everybody),
		arrives(pec.ServerAcceptance, alfaBox, beta, remote),
		arrives(pec.Delivery, sender, beta, remote),
	}
	return []scenario{{
		name: "time-out-12h", shows: "the other provider is silent for 12 hours: a notice; then it delivers",
		play: toBoth.submitToSilence(hours12),
		due:  slices.Concat(accepted, []due{after12}, delivered),
	}, {
		name: "time-out-24h", shows: "the other provider is silent for 24 hours: a second notice, with its code",
		play: toBoth.submitToSilence(hours12, hours24),
		due:  slices.Concat(accepted, []due{after12, after24}, delivered),
	}}
}
