package point_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/pec-milter/pec-milter/internal/point"
	"github.com/pec-milter/pec-milter/pec"
)

// TestForgedFromOutside: RFC 6109 sections 2.2.2 and 3.2.2: a signature makes a
// PEC message, never a header. A mailbox that takes ordinary mail gets it in an
// anomaly envelope, the others refuse it; nothing is certified.
func TestForgedFromOutside(t *testing.T) {
	const open = "aperta@pec.beta.example"
	for _, c := range []struct{ name, from, fields string }{
		{"FH-06 X-Trasporto", luca, "X-Trasporto: posta-certificata\r\n"},
		{"FH-07 X-Ricevuta", luca, "X-Ricevuta: avvenuta-consegna\r\n"},
		{"FH-09 another provider's address", "posta-certificata@pec.alfa.example", "X-Ricevuta: accettazione\r\n"},
		{"FH-09 our own service address", "posta-certificata@pec.beta.example", "X-Trasporto: posta-certificata\r\n"},
		{"FH-11 the slip of the pen of section 3.2.2", luca, "X-Trasplorto: errore\r\n"},
		{"FH-12 our own trace field", luca, pec.HeaderTrace + ": forged\r\n"},
		{"LP-04 asks for a receipt", luca, "X-TipoRicevuta: completa\r\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			m := with(c.fields, message(c.from, open))
			expect(t, "mailbox that refuses", code(w.beta.receive(&mail{c.from, []string{anna}, m})), "554")
			check(t, w.beta.receive(&mail{c.from, []string{open}, m}))
			w.run()
			expect(t, "mailbox that accepts", w.beta.kinds(open), "errore")
			h := w.beta.parsed(open).Header
			if h.Count(pec.HeaderTransport) != 1 || h.Count("X-Trasplorto") != 0 || h.Count(pec.HeaderTrace) != 1 {
				t.Errorf("anomaly envelope: got the header\n%s", h)
			}
			if strings.Contains(h.Get(pec.HeaderTrace), "forged") {
				t.Errorf("trace field comes from outside: %q", h.Get(pec.HeaderTrace))
			}
			if n := w.beta.rows(point.EventIssuing); n != 0 || len(w.alfa.mailboxes) != 0 {
				t.Errorf("notices: got %d, want none", n)
			}
		})
	}
}

// TestForgedReceipt: FH-07, a forged receipt settles nothing: the time-out
// notice comes all the same (RFC 6109 sections 2.2.2 and 3.1.6).
func TestForgedReceipt(t *testing.T) {
	w := newWorld(t)
	sender := "aperta@pec.alfa.example"
	check(t, w.alfa.submit(&mail{sender, []string{anna}, message(sender, anna)}))
	w.alfa.deliverOwn()
	id := w.notice(w.alfa, sender, pec.Acceptance).ID
	forged := with("X-Ricevuta: avvenuta-consegna\r\nX-Riferimento-Message-ID: <m1@client.example>\r\nReferences: <"+id+">\r\n",
		message("posta-certificata@pec.beta.example", sender))
	check(t, w.alfa.receive(&mail{"posta-certificata@pec.beta.example", []string{sender}, forged}))
	w.tick(12.1)
	expect(t, "mailbox of the sender", w.alfa.kinds(sender), "accettazione errore preavviso-errore-consegna")
}

// TestPastTheDoors: FH-05, what a program of our own machine puts into the queue
// without a milter is unsigned, and so no receipt (RFC 6109 section 5.2).
func TestPastTheDoors(t *testing.T) {
	w := newWorld(t)
	sender := "aperta@pec.alfa.example"
	check(t, w.alfa.submit(&mail{sender, []string{anna}, message(sender, anna)}))
	w.alfa.deliverOwn()
	forged := with("X-Ricevuta: avvenuta-consegna\r\n", message(sender, sender))
	w.alfa.queue = append(w.alfa.queue, &mail{"root@pec.alfa.example", []string{sender}, forged})
	w.alfa.deliverOwn()
	w.tick(12.1)
	expect(t, "mailbox of the sender", w.alfa.kinds(sender), "accettazione errore preavviso-errore-consegna")
}

// TestHeaderVariants: FH-11, the fields of PEC are read in any case and with
// spaces; they are not covered by the signature (RFC 6109 section 3.2.2).
func TestHeaderVariants(t *testing.T) {
	const field = "X-Trasporto: posta-certificata\r\n"
	for _, c := range []struct{ name, instead, want string }{
		{"FH-11 as written", field, "posta-certificata"},
		{"FH-11 in another case", "X-TRASPORTO: Posta-Certificata\r\n", "Posta-Certificata"},
		{"FH-11 spaces and folding", "X-Trasporto:  \r\n posta-certificata  \r\n", "posta-certificata"},
		{"FH-11 the slip of the pen", "X-Trasplorto: posta-certificata\r\n", "errore"},
		{"FH-11 none", "", "errore"},
		{"FH-11 two", field + field, "errore"},
		{"FH-12 a trace field of the peer's", field + pec.HeaderTrace + ": forged\r\n", "posta-certificata"},
		{"FH-12 a repeat, says the peer", field + pec.HeaderRepeat + ": yes\r\n", "posta-certificata"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			check(t, w.alfa.submit(&mail{mario, []string{anna}, message(mario, anna)}))
			data := bytes.Replace(w.alfa.queue[0].data, []byte(field), []byte(c.instead), 1)
			w.alfa.queue = nil
			check(t, w.beta.receive(&mail{mario, []string{anna}, data}))
			w.run()
			expect(t, "mailbox of anna", w.beta.kinds(anna), c.want)
			h := w.beta.parsed(anna).Header
			if h.Count(pec.HeaderTrace) != 1 || strings.Contains(h.Get(pec.HeaderTrace), "forged") {
				t.Errorf("trace fields: got %v, want ours alone", h.All(pec.HeaderTrace))
			}
			if h.Count(pec.HeaderRepeat) != 0 {
				t.Error("the store is told of a repeat, want that from us alone")
			}
			if got, want := w.alfa.kinds(mario) != "", c.want != "errore"; got != want {
				t.Errorf("a receipt was issued: got %v, want %v", got, want)
			}
		})
	}
}

// issuer is a provider as one who signs.
func (n *node) issuer(seed string) pec.Issuer {
	identity := n.provider.Identity
	return pec.Issuer{Name: identity.Name, Address: identity.Address, Key: n.key, Chain: n.chain, Seed: []byte(seed + " and 16 bytes")}
}

// sign is a genuine notice of a provider.
func (n *node) sign(notice pec.Notice) []byte {
	n.world.t.Helper()
	by := n.issuer(notice.ID)
	draft, err := pec.NewNotice(notice, by)
	check(n.world.t, err)
	signed, err := draft.Sign(by)
	check(n.world.t, err)
	return written(n.world.t, signed)
}

// TestNoNoticeForANotice: LP-03, whatever a peer notifies about a notice of ours,
// nothing answers it (RFC 6109 section 3.3.2).
func TestNoNoticeForANotice(t *testing.T) {
	for _, c := range []struct {
		name, to string
		change   func(*pec.Notice)
	}{
		{"LP-03 presa-in-carico", alfaDesk, func(n *pec.Notice) {
			n.Data.Kind, n.Data.TakenFor = pec.ServerAcceptance, []string{anna}
		}},
		{"LP-03 avvenuta-consegna", mario, func(n *pec.Notice) {
			n.Data.Kind, n.Data.Delivered, n.Type = pec.Delivery, anna, pec.Concise
		}},
		{"LP-03 errore-consegna", mario, func(n *pec.Notice) {
			n.Data.Kind, n.Data.Delivered, n.Data.Error = pec.NonDelivery, anna, pec.OtherError
		}},
		{"LP-03 rilevazione-virus", alfaDesk, func(n *pec.Notice) {
			n.Data.Kind, n.Data.Delivered, n.Data.Error, n.Virus = pec.VirusDetection, anna, pec.VirusFound, "Eicar"
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			notice := pec.Notice{ID: "n1@pec.beta.example", To: c.to, Data: pec.CertificationData{
				Sender: mario, Recipients: []pec.Recipient{{Address: anna, Kind: pec.Certified}}, Subject: "CONSEGNA: Prova",
				Provider: "beta PEC S.p.A.", Time: w.now, ID: "notice-of-ours@pec.alfa.example",
			}}
			c.change(&notice)
			check(t, w.alfa.receive(&mail{"posta-certificata@pec.beta.example", []string{c.to}, w.beta.sign(notice)}))
			w.run()
			expect(t, "mailbox", w.alfa.kinds(c.to), string(notice.Data.Kind))
			if n := w.alfa.rows(point.EventIssuing); n != 0 || len(w.alfa.mailboxes) != 1 {
				t.Errorf("notices: got %d in %d mailboxes, want none but what came", n, len(w.alfa.mailboxes))
			}
		})
	}
}

// TestVirusDetectionOnce: RS-08, the same rilevazione-virus twice is one
// errore-consegna; one about somebody else's message is none (RFC 6109 section
// 3.2.4).
func TestVirusDetectionOnce(t *testing.T) {
	w := newWorld(t)
	check(t, w.alfa.submit(&mail{mario, []string{anna}, message(mario, anna)}))
	w.alfa.deliverOwn()
	data := *w.notice(w.alfa, mario, pec.Acceptance)
	data.Kind, data.Error, data.Delivered, data.ReceiptType = pec.VirusDetection, pec.VirusFound, anna, ""
	for n, id := range []string{data.ID, data.ID, "unknown@pec.alfa.example"} {
		data.ID = id
		notice := pec.Notice{Data: data, ID: fmt.Sprintf("v%d@pec.beta.example", n), To: alfaDesk, Virus: "Eicar"}
		check(t, w.alfa.receive(&mail{"posta-certificata@pec.beta.example", []string{alfaDesk}, w.beta.sign(notice)}))
		w.alfa.deliverOwn()
	}
	expect(t, "mailbox of mario", w.alfa.kinds(mario), "accettazione errore-consegna")
}
