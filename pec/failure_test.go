package pec_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/pec-milter/pec-milter/pec"
)

// TestDeliveryFailure: AgID's Nota 12.
func TestDeliveryFailure(t *testing.T) {
	const (
		mailbox = "5.1.1 no-dest indirizzo non valido"
		domain  = "5.1.2 no-dominio dominio inesistente"
		full    = "5.2.2 altro casella piena"
		expired = "5.4.7 altro tempo massimo di consegna superato"
		other   = " altro errore nella consegna alla casella"
	)
	for _, test := range []struct{ name, status, reply, want string }{
		{"unknown mailbox", "5.1.1", "550 5.1.1 User unknown", mailbox},
		{"unknown mailbox, whatever the words", "5.1.1", "550 5.1.1 mailbox full of sorrow: host not found", mailbox},
		{"address rejected", "5.1.0", "550 5.1.0 Address rejected", mailbox},
		{"mailbox has moved", "5.1.6", "", mailbox},
		{"mailbox disabled", "5.2.1", "550 5.2.1 disabled", mailbox},
		{"bare 550", "5.0.0", "550 No such user here", mailbox},
		{"bare 550 without status", "", "550 Unknown User", mailbox},
		{"bare 550, in Italian", "5.0.0", "550 Casella del destinatario inesistente", mailbox},
		{"Microsoft, unknown user", "5.1.10", "550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup", mailbox},
		{"Microsoft, unknown user at the edge", "5.4.1", "550 5.4.1 Recipient address rejected: Access denied.", mailbox},
		{"unknown domain", "5.1.2", "550 Host unknown", domain},
		{"Postfix, unknown domain", "5.4.4", "Host or domain name not found. Name service error for name=x.example type=A: Host not found", domain},
		{"directory of domains", "5.4.3", "", domain},
		{"RFC 7505", "5.1.10", "556 5.1.10 Recipient address has null MX", domain},
		{"RFC 7505, Postfix", "5.1.0", "Domain x.example does not accept mail (nullMX)", domain},
		{"RFC 7505, no enhanced status", "5.0.0", "556 domain does not accept mail", domain},
		{"mailbox full", "5.2.2", "552 5.2.2 quota", full},
		{"mailbox full, bare 552", "5.0.0", "552 Quota exceeded", full},
		{"mailbox full until the queue gave up", "4.2.2", "452 4.2.2 over quota", full},
		{"Sendmail's queue gave up", "4.4.7", "", expired},
		{"our own expiry on Sendmail", "5.4.7", "550 PEC delivery time expired", expired},
		{"Postfix's queue gave up", "4.4.1", "connect to mx.example: Connection timed out", expired},
		{"name server did not answer until the queue gave up", "4.4.3", "Host not found, try again", expired},
		{"policy", "5.7.1", "554 5.7.1 User unknown to our policy", "5.7.1" + other},
		{"too large", "5.3.4", "552 5.3.4 too big", "5.3.4" + other},
		{"nothing known", "", "", "5.0.0" + other},
		{"no class of a failure", "2.0.0", "250 ok", "5.0.0" + other},
		{"5.4.1 is the notice of 24 hours", "5.4.1", "550 5.4.1 no answer from host", "5.4.0" + other},
		{"5.5.1 is a virus", "5.5.1", "503 5.5.1 bad sequence of commands", "5.5.0" + other},
	} {
		t.Run(test.name, func(t *testing.T) {
			code, kind := pec.DeliveryFailure(test.status, test.reply)
			_, text, _ := strings.Cut(pec.FailureDetail(code, "Alfa"), " - Alfa - ")
			if got := fmt.Sprintf("%s %s %s", code, kind, text); got != test.want {
				t.Errorf("DeliveryFailure(%q, %q) = %s, want %s", test.status, test.reply, got, test.want)
			}
		})
	}
}
