package point_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/pec-milter/pec-milter/internal/point"
	"github.com/pec-milter/pec-milter/pec"
)

// TestNonAcceptance: D-H.1, FM-09, an address in neither To nor Cc: the sender gets the
// notice, nobody gets the message (RFC 6109 section 3.1.2).
func TestNonAcceptance(t *testing.T) {
	w := newWorld(t)
	check(t, w.alfa.submit(&mail{mario, []string{anna, luca}, message(mario, anna)}))
	w.run()
	expect(t, "mailbox of mario", w.alfa.kinds(mario), "non-accettazione")
	d := w.notice(w.alfa, mario, pec.NonAcceptance)
	expect(t, "errore", string(d.Error), "altro")
	expect(t, "errore-esteso", d.Detail, "l'indirizzo email luca@example.org non appare nei campi To o Cc")
	expect(t, "mailbox of anna", w.beta.kinds(anna), "")
	if len(w.ordinary) != 0 {
		t.Errorf("ordinary mail: got %d, want none", len(w.ordinary))
	}
}

// TestSeveralReasons: all reasons are told, one a line.
func TestSeveralReasons(t *testing.T) {
	w := newWorld(t)
	data := append([]byte("Bcc: x@example.org\r\n"), message(mario, anna)...)
	check(t, w.alfa.submit(&mail{mario, []string{anna, luca}, data}))
	w.run()
	d := w.notice(w.alfa, mario, pec.NonAcceptance)
	if strings.Count(d.Detail, "- ") != 2 {
		t.Errorf("errore-esteso: got %q, want two reasons", d.Detail)
	}
}

// TestRefusedAgain: what was refused is a new submission when it comes again.
func TestRefusedAgain(t *testing.T) {
	w := newWorld(t)
	refused := &mail{mario, []string{anna, luca}, message(mario, anna)}
	for range 2 {
		check(t, w.alfa.submit(refused))
		w.run()
		w.now = w.now.Add(time.Hour)
	}
	expect(t, "mailbox of mario", w.alfa.kinds(mario), "non-accettazione non-accettazione")
}

// TestVirusOut: D-P.1, RS-05: the sender gets non-accettazione per virus, the
// message is kept (RFC 6109 sections 3.1.3 and 2.2.4).
func TestVirusOut(t *testing.T) {
	w := newWorld(t)
	w.alfa.viruses = []string{"Buongiorno"}
	check(t, w.alfa.submit(mainJob()))
	w.run()
	d := w.notice(w.alfa, mario, pec.NonAcceptance)
	expect(t, "errore", string(d.Error), "virus")
	expect(t, "mailbox of mario", w.alfa.kinds(mario), "non-accettazione")
	expect(t, "mailbox of anna", w.beta.kinds(anna), "")
	if len(w.alfa.kept) != 1 || w.alfa.kept[0].Virus != "Buongiorno" || w.alfa.kept[0].Door != point.AccessDoor {
		t.Errorf("quarantine: got %+v, want one message", w.alfa.kept)
	}
}

// TestAntivirusDown: FP-04, nothing passes unscanned.
func TestAntivirusDown(t *testing.T) {
	w := newWorld(t)
	w.alfa.scanErr = errors.New("clamd does not answer")
	if err := w.alfa.submit(mainJob()); err == nil {
		t.Error("submission without antivirus: accepted")
	}
	if len(w.alfa.queue) != 0 {
		t.Error("something is in the queue")
	}
}

// TestVirusIn: D-Q.1, V-Q.1, RS-06, RS-08: one presa-in-carico for both, one
// rilevazione-virus for each recipient, nobody gets it; the sender's provider
// makes an errore-consegna of each (RFC 6109 sections 3.2.3 and 3.2.4).
func TestVirusIn(t *testing.T) {
	w := newWorld(t)
	w.beta.viruses = []string{"Buongiorno"}
	bruno := "bruno@pec.beta.example"
	check(t, w.alfa.submit(&mail{mario, []string{anna, bruno, luca}, message(mario, anna+", "+bruno+", "+luca)}))
	sent := w.alfa.queue[0]
	check(t, w.beta.receive(&mail{mario, []string{anna, bruno}, sent.data})) // in one transaction
	sent.recipients = sent.recipients[2:]
	w.run()
	expect(t, "service mailbox of alfa", w.alfa.kinds(alfaDesk), "presa-in-carico rilevazione-virus rilevazione-virus")
	taken := w.notice(w.alfa, alfaDesk, pec.ServerAcceptance).TakenFor
	expect(t, "ricezione", strings.Join(taken, " "), anna+" "+bruno)
	expect(t, "mailbox of mario", w.alfa.kinds(mario), "accettazione errore-consegna errore-consegna")
	for _, mailbox := range []string{anna, bruno} {
		expect(t, "mailbox of "+mailbox, w.beta.kinds(mailbox), "")
	}
	for _, d := range w.notices(w.alfa, mario, pec.NonDelivery) {
		expect(t, "errore", string(d.Error), "virus")
		expect(t, "errore-esteso", d.Detail, "5.5.1 - alfa PEC S.p.A. - presenza di un virus nel messaggio")
	}
	if len(w.beta.kept) != 1 || w.beta.kept[0].MessageID == "" {
		t.Errorf("quarantine: got %+v, want one message", w.beta.kept)
	}
}

// TestVirusInTwoTransactions: V-Q1.1, RS-06, two prese in carico with disjoint
// recipients, one rilevazione-virus each.
func TestVirusInTwoTransactions(t *testing.T) {
	w := newWorld(t)
	w.beta.viruses = []string{"Buongiorno"}
	bruno := "bruno@pec.beta.example"
	check(t, w.alfa.submit(&mail{mario, []string{anna, bruno}, message(mario, anna+", "+bruno)}))
	data := w.alfa.queue[0].data
	w.alfa.queue = nil
	check(t, w.beta.receive(&mail{mario, []string{anna}, data}))
	check(t, w.beta.receive(&mail{mario, []string{bruno}, data}))
	w.run()
	kinds := strings.Fields(w.alfa.kinds(alfaDesk))
	count := map[string]int{}
	for _, k := range kinds {
		count[k]++
	}
	if count["presa-in-carico"] != 2 || count["rilevazione-virus"] != 2 {
		t.Errorf("service mailbox: got %v, want two of each", kinds)
	}
}

// TestVirusInOrdinaryMail: RS-07, refused, no notice.
func TestVirusInOrdinaryMail(t *testing.T) {
	w := newWorld(t)
	w.beta.viruses = []string{"Buongiorno"}
	if got := code(w.beta.receive(&mail{luca, []string{"aperta@pec.beta.example"}, message(luca, anna)})); got != "554" {
		t.Errorf("reply: got %q, want 554", got)
	}
	if len(w.beta.queue) != 0 {
		t.Error("something is in the queue")
	}
}

// TestOrdinaryMail: the policies of the mailboxes (RFC 6109 section 3.2.2); of
// several in one transaction those that refuse answer for themselves.
func TestOrdinaryMail(t *testing.T) {
	w := newWorld(t)
	open, forwards := "aperta@pec.beta.example", "inoltro@pec.beta.example"
	m := message(luca, open)
	check(t, w.beta.receive(&mail{luca, []string{open, forwards, anna}, m}))
	w.run()
	expect(t, "mailbox that accepts", w.beta.kinds(open), "errore")
	expect(t, "mailbox that forwards", w.beta.kinds(forwards), "")
	expect(t, "mailbox that refuses", w.beta.kinds(anna), "")
	if len(w.ordinary) != 1 || string(w.ordinary[0]) != string(m) {
		t.Errorf("forwarded: got %d messages, want the one that came, unchanged", len(w.ordinary))
	}
}

// TestUserWritesToServiceMailbox: LP-02, our own user writes to the provider
// itself: errore-consegna, and nothing in the mailbox.
func TestUserWritesToServiceMailbox(t *testing.T) {
	w := newWorld(t)
	check(t, w.alfa.submit(&mail{mario, []string{alfaDesk}, message(mario, alfaDesk)}))
	w.run()
	expect(t, "service mailbox", w.alfa.kinds(alfaDesk), "presa-in-carico")
	d := w.notice(w.alfa, mario, pec.NonDelivery)
	expect(t, "errore", string(d.Error), "altro")
}

// TestServiceMailboxApart: the provider's own addresses come in transactions of
// their own: what is refused for them must not be refused for others.
func TestServiceMailboxApart(t *testing.T) {
	w := newWorld(t)
	check(t, w.alfa.submit(&mail{mario, []string{anna}, message(mario, anna)}))
	data := w.alfa.queue[0].data
	desk := "servizio@pec.beta.example"
	if got := code(w.beta.receive(&mail{mario, []string{anna, desk}, data})); got != "452" {
		t.Errorf("envelope for a mailbox and the desk: got %q, want 452 for the desk", got)
	}
	if got := code(w.beta.receive(&mail{"", []string{"aperta@pec.beta.example", desk}, message(luca, anna)})); got != "452" {
		t.Errorf("ordinary mail for a mailbox and the desk: got %q, want 452 for the desk", got)
	}
}

// TestRecipientTwice: a recipient that a transaction names twice is one.
func TestRecipientTwice(t *testing.T) {
	w := newWorld(t)
	check(t, w.alfa.submit(&mail{mario, []string{luca, luca}, message(mario, luca)}))
	w.run()
	if got := w.notice(w.alfa, mario, pec.Acceptance).Recipients; len(got) != 1 {
		t.Errorf("destinatari: got %v, want one", got)
	}
}

// TestServiceMailbox: it takes presa-in-carico and rilevazione-virus that
// verify; LP-01, LP-02: all else is refused, automatic answers are dropped.
func TestServiceMailbox(t *testing.T) {
	w := newWorld(t)
	desk, address := "servizio@pec.beta.example", "posta-certificata@pec.beta.example"
	for _, to := range []string{desk, address} {
		if got := code(w.beta.receive(&mail{luca, []string{to}, message(luca, to)})); got != "554" {
			t.Errorf("mail to %s: got %q, want 554", to, got)
		}
		answer := append([]byte("Auto-Submitted: auto-replied\r\n"), message(luca, to)...)
		check(t, w.beta.receive(&mail{luca, []string{to}, answer}))
	}
	forged := append([]byte("X-Ricevuta: rilevazione-virus\r\n"), message(luca, desk)...)
	if got := code(w.beta.receive(&mail{luca, []string{desk}, forged})); got != "554" {
		t.Errorf("FH-08 forged rilevazione-virus: got %q, want 554", got)
	}
	if len(w.beta.queue) != 0 {
		t.Error("something is in the queue")
	}
}
