package point_test

import (
	"testing"

	"github.com/pec-milter/pec-milter/internal/point"
	"github.com/pec-milter/pec-milter/pec"
)

const betaAddress = "posta-certificata@pec.beta.example"

// receiptFor is beta's avvenuta-consegna for mario, about anna.
func receiptFor() pec.Notice {
	return pec.Notice{ID: "r1@pec.beta.example", To: mario, Type: pec.Concise, Data: pec.CertificationData{
		Kind: pec.Delivery, Sender: mario, Recipients: []pec.Recipient{{Address: anna, Kind: pec.Certified}}, Subject: "Prova",
		Provider: "beta PEC S.p.A.", Time: start, ID: "e1@pec.alfa.example", Delivered: anna,
	}}
}

// TestPeerNotification: what a provider may say, as whom, of whom and to whom
// (RFC 6109 sections 2.1, 3.2.1 and 7). Anything else that it signs goes on in an
// anomaly envelope, and settles nothing.
func TestPeerNotification(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*world, *pec.Notice)
		as     string // From; empty: the service address
		path   string // reverse path; empty: the service address
		want   string
	}{
		{"good", nil, "", "", "avvenuta-consegna"},
		{"SG-03 From is not in the certificate", nil, "altro@pec.beta.example", "", "errore"},
		{"SG-28 From is not of the signer's domains", func(w *world, n *pec.Notice) {
			w.providers[1].Domains = []string{"other.example"}
			n.Data.Delivered, n.Data.Recipients[0].Address = "anna@other.example", "anna@other.example"
		}, "", "", "errore"},
		{"SG-29 about another provider's recipient", func(_ *world, n *pec.Notice) {
			n.Data.Delivered, n.Data.Recipients[0].Address = carla, carla
		}, "", "", "errore"},
		{"about nobody", func(_ *world, n *pec.Notice) { n.Data.Delivered = "" }, "", "", "errore"},
		{"about somebody else's message", func(_ *world, n *pec.Notice) { n.Data.Sender = carla }, "", "", "errore"},
		{"another reverse path", nil, "", "anna@pec.beta.example", "errore"},
		{"an acceptance from a peer", func(_ *world, n *pec.Notice) { n.Data.Kind = pec.Acceptance }, "", "", "errore"},
		{"a time-out notice from a peer", func(_ *world, n *pec.Notice) {
			n.Data.Kind, n.Data.Error = pec.TimeoutNotice, pec.OtherError
		}, "", "", "errore"},
		{"LP-02 a server-server acceptance to a user", func(_ *world, n *pec.Notice) {
			n.Data.Kind, n.Data.TakenFor, n.Data.Delivered = pec.ServerAcceptance, []string{anna}, ""
		}, "", "", "errore"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			n := receiptFor()
			if c.change != nil {
				c.change(w, &n)
			}
			if c.as != "" {
				w.beta.provider.Identity.Address = c.as
			}
			path := c.path
			if path == "" {
				path = betaAddress
			}
			check(t, w.alfa.receive(&mail{path, []string{mario}, w.beta.sign(n)}))
			w.run()
			expect(t, "mailbox of mario", w.alfa.kinds(mario), c.want)
			if got := w.alfa.rows(point.EventNotification); got != 0 && c.want == "errore" {
				t.Errorf("notifications in the legal log: got %d, want none", got)
			}
		})
	}
}

// TestPeerEnvelope: an envelope counts only for the signer's own senders and with
// their reverse path (RFC 6109 sections 2.1.1.2 and 2.2.2); else an anomaly
// envelope and no notice.
func TestPeerEnvelope(t *testing.T) {
	for _, c := range []struct{ name, mittente, path, want string }{
		{"good", anna, anna, "posta-certificata"},
		{"SG-28 another provider's sender", carla, carla, "errore"},
		{"a sender of no provider", luca, luca, "errore"},
		{"another reverse path", anna, "bruno@pec.beta.example", "errore"},
		{"null reverse path", anna, "", "errore"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			data := w.beta.envelope(c.mittente, mario)
			check(t, w.alfa.receive(&mail{c.path, []string{mario}, data}))
			w.alfa.runQueue()
			expect(t, "mailbox of mario", w.alfa.kinds(mario), c.want)
			if got := w.alfa.rows(point.EventIssuing); (got > 0) != (c.want != "errore") {
				t.Errorf("notices: got %d", got)
			}
		})
	}
}

// envelope is a transport envelope that a provider signs for whomever.
func (n *node) envelope(from, to string) []byte {
	n.world.t.Helper()
	by := n.issuer("envelope")
	draft, err := pec.NewEnvelope(readMessage(n.world.t, message(from, to)), pec.CertificationData{
		Sender: from, Recipients: []pec.Recipient{{Address: to, Kind: pec.Certified}}, Subject: "Prova", Provider: by.Name,
		Time: start, ID: "e1@pec.beta.example", Reference: "<m1@client.example>", ReceiptType: pec.Complete,
	}, by)
	check(n.world.t, err)
	signed, err := draft.Sign(by)
	check(n.world.t, err)
	return written(n.world.t, signed)
}

// TestTakenOnce: an envelope in two transactions that share a recipient: over all
// presa-in-carico each recipient is there once (RFC 6109 section 3.2.1).
func TestTakenOnce(t *testing.T) {
	w := newWorld(t)
	bruno := "bruno@pec.beta.example"
	check(t, w.alfa.submit(&mail{mario, []string{anna, bruno}, message(mario, anna+", "+bruno)}))
	data := w.alfa.queue[0].data
	w.alfa.queue = nil
	check(t, w.beta.receive(&mail{mario, []string{anna}, data}))
	check(t, w.beta.receive(&mail{mario, []string{anna, bruno}, data}))
	w.run()
	taken := map[string]int{}
	for _, d := range w.notices(w.alfa, alfaDesk, pec.ServerAcceptance) {
		for _, r := range d.TakenFor {
			taken[r]++
		}
	}
	if len(taken) != 2 || taken[anna] != 1 || taken[bruno] != 1 {
		t.Errorf("ricezione: got %v, want each recipient once", taken)
	}
}
