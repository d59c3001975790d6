package point_test

import (
	"context"
	"crypto/sha1"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pec-milter/pec-milter/internal/point"
	"github.com/pec-milter/pec-milter/pec"
)

// report is a delivery report as Postfix writes it, about some recipients of the
// message with that PEC msgid. Each is "address status".
func report(msgid string, failed ...string) []byte {
	var b strings.Builder
	b.WriteString("From: MAILER-DAEMON@mx.alfa.example\r\nSubject: Undelivered Mail Returned to Sender\r\nMIME-Version: 1.0\r\n" +
		"Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n" +
		"--b\r\n\r\nI'm sorry.\r\n--b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.alfa.example\r\n")
	for _, f := range failed {
		address, status, _ := strings.Cut(f, " ")
		fmt.Fprintf(&b, "\r\nFinal-Recipient: rfc822; %s\r\nAction: failed\r\nStatus: %s\r\n", address, status)
	}
	fmt.Fprintf(&b, "\r\n--b\r\nContent-Type: text/rfc822-headers\r\n\r\nMessage-ID: <%s>\r\nX-Trasporto: posta-certificata\r\n\r\n--b--\r\n", msgid)
	return []byte(b.String())
}

// bounced submits a message to anna and luca, whose MTAs are down, and gives its
// PEC msgid.
func (w *world) bounced() string {
	w.t.Helper()
	check(w.t, w.alfa.submit(&mail{mario, []string{anna, luca}, message(mario, anna+", "+luca)}))
	w.alfa.deliverOwn()
	return w.notice(w.alfa, mario, pec.Acceptance).ID
}

// deliver is the MTA's own mail for one of alfa's mailboxes.
func (w *world) deliver(to string, data []byte) {
	w.t.Helper()
	check(w.t, w.alfa.send(&mail{"", []string{to}, data}))
	w.alfa.deliverOwn()
}

// TestBounce: what our own MTA gives up for a certified recipient becomes
// errore-consegna (LP-09, RFC 6109 sections 2.2.2 and 3.3.3, Nota 12).
func TestBounce(t *testing.T) {
	for _, c := range []struct{ name, status, detail, kind string }{
		{"no mailbox", "5.1.1", "5.1.1 - alfa PEC S.p.A. - indirizzo non valido", "no-dest"},
		{"no domain", "5.1.2", "5.1.2 - alfa PEC S.p.A. - dominio inesistente", "no-dominio"},
		{"mailbox full", "5.2.2", "5.2.2 - alfa PEC S.p.A. - casella piena", "altro"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			id := w.bounced()
			for range 2 { // the MTA may report it again
				w.deliver(mario, report(id, anna+" "+c.status))
			}
			expect(t, "mailbox of mario", w.alfa.kinds(mario), "accettazione errore-consegna")
			d := w.notice(w.alfa, mario, pec.NonDelivery)
			expect(t, "errore-esteso", d.Detail, c.detail)
			expect(t, "errore", string(d.Error), c.kind)
			expect(t, "consegna", d.Delivered, anna)
			w.tick(25)
			expect(t, "time-outs after a failure", w.timeouts(mario), "")
		})
	}
}

// TestOrdinaryBounce: about an ordinary recipient the sender sees the report, in
// an anomaly envelope.
func TestOrdinaryBounce(t *testing.T) {
	w := newWorld(t)
	w.deliver(mario, report(w.bounced(), luca+" 5.1.1"))
	expect(t, "mailbox of mario", w.alfa.kinds(mario), "accettazione errore")
}

// TestMixedBounce: a report about both kinds, and an outbox recipient.
func TestMixedBounce(t *testing.T) {
	w := newWorld(t)
	w.deliver(mario, report(w.bounced(), anna+" 5.1.1", luca+" 5.1.1", "accettazione.x.y@"+point.OutboxDomain+" 4.4.7"))
	expect(t, "mailbox of mario", w.alfa.kinds(mario), "accettazione errore errore-consegna")
}

// TestForgedBounce: a report that came from outside changes nothing, nor one for
// somebody who did not send the message.
func TestForgedBounce(t *testing.T) {
	w := newWorld(t)
	id := w.bounced()
	if got := code(w.alfa.receive(&mail{"", []string{mario}, report(id, anna+" 5.1.1")})); got != "554" {
		t.Errorf("report from outside: got %q, want 554", got)
	}
	w.deliver(carla, report(id, anna+" 5.1.1"))
	expect(t, "mailbox of mario", w.alfa.kinds(mario), "accettazione")
	expect(t, "mailbox of carla", w.alfa.kinds(carla), "errore")
}

// TestLateBounce: after the 24 h notice a failure is only logged.
func TestLateBounce(t *testing.T) {
	w := newWorld(t)
	id := w.bounced()
	w.tick(24)
	w.deliver(mario, report(id, anna+" 5.1.1"))
	if got := w.notices(w.alfa, mario, pec.NonDelivery); len(got) != 0 {
		t.Errorf("errore-consegna after the 24 h notice: got %d, want none", len(got))
	}
	expect(t, "notices", w.timeouts(mario), "12 24")
}

// TestUndeliverableNotice: a notice of our own that the MTA gives up is logged,
// and answered by nobody.
func TestUndeliverableNotice(t *testing.T) {
	w := newWorld(t)
	w.deliver("posta-certificata@pec.alfa.example", report("x@pec.alfa.example", anna+" 5.1.1"))
	if len(w.alfa.queue) != 0 || len(w.alfa.mailboxes) != 0 {
		t.Errorf("queue %d, mailboxes %d: want nothing", len(w.alfa.queue), len(w.alfa.mailboxes))
	}
}

// TestBriefReceipt: RFC 6109 section 3.3.2.2, asked for by X-TipoRicevuta; the
// recipient in Cc gets the concise one.
func TestBriefReceipt(t *testing.T) {
	for decoded, hash := range map[bool]string{
		false: fmt.Sprintf("%x", sha1.Sum([]byte("JVBERi0="))),
		true:  fmt.Sprintf("%x", sha1.Sum([]byte("%PDF-"))),
	} {
		t.Run(fmt.Sprintf("decoded %v", decoded), func(t *testing.T) { testBriefReceipt(t, decoded, hash) })
	}
}

func testBriefReceipt(t *testing.T, decoded bool, hash string) {
	w := newWorld(t)
	w.beta.provider.BriefDecoded = decoded
	data := []byte("X-TipoRicevuta: breve\r\nFrom: " + mario + "\r\nTo: " + anna + "\r\nCc: " + carla + "\r\nMessage-ID: <b@c.example>\r\n" +
		"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\r\nciao\r\n" +
		"--x\r\nContent-Type: application/pdf; name=a.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\nJVBERi0=\r\n--x--\r\n")
	check(t, w.alfa.submit(&mail{mario, []string{anna, carla}, data}))
	w.run()
	for _, data := range w.alfa.mailboxes[mario] {
		text := string(data)
		brief := strings.Contains(text, "a.pdf.hash") && strings.Contains(text, hash) && !strings.Contains(text, "JVBERi0=")
		switch {
		case strings.Contains(text, "X-Ricevuta: avvenuta-consegna") && strings.Contains(text, "From: posta-certificata@pec.beta"):
			if !brief {
				t.Error("receipt for To: want the brief form")
			}
		case strings.Contains(text, "postacert.eml"):
			t.Error("receipt for Cc encloses the original")
		}
	}
	expect(t, "receipts", fmt.Sprint(len(w.notices(w.alfa, mario, pec.Delivery))), "2")
}

// TestTimeoutsTogether: two nodes that look at the same time decide one notice.
func TestTimeoutsTogether(t *testing.T) {
	w := newWorld(t)
	w.bounced()
	w.now = w.now.Add(13 * time.Hour)
	done := make(chan error)
	for range 2 {
		go func() { done <- (&point.DeliveryPoint{Provider: w.alfa.provider}).Timeouts(context.Background()) }()
	}
	for range 2 {
		<-done // one of them may find the notice being issued elsewhere
	}
	w.alfa.deliverOwn()
	expect(t, "notices", w.timeouts(mario), "12")
}
