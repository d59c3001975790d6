package pec

import (
	"cmp"
	"slices"
	"strings"
)

// DeliveryFailure is how a PEC notification tells of a permanent failure to
// deliver: the code of AgID's Nota 12, for FailureDetail, and the attribute errore.
// status is the enhanced status code of the failure (RFC 3463), empty where there
// is none; reply is what the other server, or the MTA, said of it.
//
// A code that says something definite in PEC is given for that alone, because
// readers trust the code: 5.4.1 is the notice of 24 hours, 5.5.1 a virus;
// neither ever comes of here, whatever the other server replied.
func DeliveryFailure(status, reply string) (code string, kind ErrorKind) {
	reply = strings.ToLower(reply)
	vague := slices.Contains(vagueStatuses, status)
	switch {
	case status == "5.2.2", status == "4.2.2", vague && saysOneOf(reply, mailboxFull):
		return "5.2.2", OtherError
	case status == "5.4.7", strings.HasPrefix(status, "4."):
		// The queue gave up: what failed last was not permanent.
		return "5.4.7", OtherError
	case vague && saysOneOf(reply, noDomain):
		return "5.1.2", WrongDomain
	case vague && saysOneOf(reply, noMailbox):
		return "5.1.1", WrongMailbox
	case slices.Contains(domainStatuses, status):
		return "5.1.2", WrongDomain
	case slices.Contains(mailboxStatuses, status):
		return "5.1.1", WrongMailbox
	}
	return otherCode(status), OtherError
}

// FailureDetail is errore-esteso, and a line of the readable text, for a code of
// AgID's Nota 12: code - provider - text.
func FailureDetail(code, provider string) string {
	return code + " - " + provider + " - " + cmp.Or(reasons[code], reasons["5.0.0"])
}

// otherCode is the status itself unless it means something else in PEC.
func otherCode(status string) string {
	switch {
	case status == "5.4.1":
		return "5.4.0"
	case status == "5.5.1":
		return "5.5.0"
	case strings.HasPrefix(status, "5."):
		return status
	}
	return "5.0.0"
}

var (
	mailboxStatuses = []string{"5.1.0", "5.1.1", "5.1.6", "5.2.1"}
	// domainStatuses: 5.1.10 is a domain without mail (RFC 7505).
	domainStatuses = []string{"5.1.2", "5.1.10", "5.4.3", "5.4.4"}
	// vagueStatuses leave it to the words. QUIRK: Microsoft's servers reply 5.4.1
	// and 5.1.10 for an unknown user, Postfix says 5.1.0 of a domain without mail.
	vagueStatuses = []string{"", "5.0.0", "5.1.0", "5.1.10", "5.4.1"}
)

// What servers reply, in lower case.
var (
	mailboxFull = []string{"quota exceeded", "over quota", "exceeded storage", "mailbox full", "mailbox is full",
		"ecceduta la quota", "casella piena"}
	noDomain = []string{"nullmx", "null mx", "does not accept mail", "host not found", "host unknown", "unknown host",
		"unable to look up host", "domain not found", "dominio inesistente"}
	noMailbox = []string{"user unknown", "unknown user", "no such user", "user not found", "no such recipient",
		"recipient not found", "recipientnotfound", "unknown recipient", "recipient unknown", "invalid recipient",
		"no such mailbox", "mailbox not found", "unknown mailbox", "address does not exist",
		"recipient address rejected: access denied", "casella inesistente", "destinatario inesistente", "utente sconosciuto"}
)

func saysOneOf(reply string, words []string) bool {
	return slices.ContainsFunc(words, func(w string) bool { return strings.Contains(reply, w) })
}
