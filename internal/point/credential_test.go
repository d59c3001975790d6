package point_test

import (
	"bytes"
	"crypto"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pec-milter/pec-milter/internal/point"
	"github.com/pec-milter/pec-milter/internal/testpki"
	"github.com/pec-milter/pec-milter/pec"
)

// renew gives a provider another key and certificate; the old one stays behind it,
// here and in the directory.
func (n *node) renew(changes ...testpki.Change) {
	t := n.world.t
	t.Helper()
	keys, err := makeKeys()
	check(t, err)
	identity := n.provider.Identity
	renewed, err := keys.ca.NewProvider(identity.Name, identity.Address, changes...)
	check(t, err)
	n.earlier = append(n.earlier, point.Credential{Key: n.key, Chain: n.chain})
	n.key, n.chain = renewed.Key, renewed.Chain
	for _, p := range n.world.providers {
		if p.Name == identity.Name {
			p.Certificates = append(p.Certificates, renewed.Certificate())
		}
	}
}

// TestCertificateRenewedUnderWay: envelopes and notices signed with the old
// certificate are in the queue when there is a new one; all is delivered, and
// receipted, as if nothing had been, and what is new has the new one. (OP-08)
func TestCertificateRenewedUnderWay(t *testing.T) {
	w := newWorld(t)
	check(t, w.alfa.submit(mainJob()))
	w.alfa.renew()
	w.beta.renew()
	w.run()
	w.expectMainJob()
}

// TestNoticeSignedAgain: a notice that was injected, and whose injection nobody
// heard of, is issued again with the same bytes after the certificate was
// renewed: the mailbox has it once. A new one has the new certificate. (OP-08)
func TestNoticeSignedAgain(t *testing.T) {
	w := newWorld(t)
	n := w.alfa
	check(t, n.submit(&mail{mario, []string{luca}, message(mario, luca)}))
	n.injectErr = func() error { n.injectErr = nil; return errors.New("connection lost") }
	n.runQueue()
	first := n.acceptance()
	n.renew()
	n.runQueue() // what is in the queue twice
	again := n.acceptances()
	if first == nil || len(again) == 0 || slices.ContainsFunc(again, func(m []byte) bool { return !bytes.Equal(m, first) }) {
		t.Errorf("%d acceptances after the first, want them equal to it", len(again))
	}
	w.run()
	expect(t, "mailbox of mario", n.kinds(mario), "accettazione")
	w.now = w.now.Add(time.Hour)
	check(t, n.submit(&mail{mario, []string{luca}, bytes.Replace(message(mario, luca), []byte("Subject:"), []byte("Subject: new"), 1)}))
	envelope := n.queue[len(n.queue)-1]
	if signer := signerOf(t, envelope.data); !signer.Certificate.Equal(n.chain[0]) {
		t.Error("a new message is signed with the old certificate")
	}
}

// TestEarlierKeyGone: without the old key the notice goes out with the new one,
// aloud. One that is expired is not used either.
func TestEarlierKeyGone(t *testing.T) {
	for name, spoil := range map[string]func(*node){
		"gone":    func(n *node) { n.earlier[0].Key = brokenKey{n.earlier[0].Key} },
		"expired": func(n *node) { n.world.now = n.earlier[0].Chain[0].NotAfter.Add(time.Second) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			n := w.alfa
			check(t, n.submit(&mail{mario, []string{luca}, message(mario, luca)}))
			n.injectErr = func() error { n.injectErr = nil; return errors.New("connection lost") }
			n.runQueue()
			n.queue = slices.DeleteFunc(n.queue, func(m *mail) bool { return m.recipients[0] == mario })
			n.renew(testpki.Valid(start, start.AddDate(3, 0, 0)))
			spoil(n)
			n.runQueue()
			if got := n.acceptance(); got == nil || !signerOf(t, got).Certificate.Equal(n.chain[0]) {
				t.Error("no acceptance with the new certificate")
			}
		})
	}
}

// TestCertificateExpired: OP-08. From its last second on nothing is begun that
// would have to be signed: 451 at every door, no row in the legal log, nothing
// stored. With a new certificate all goes on.
func TestCertificateExpired(t *testing.T) {
	w := newWorld(t)
	n := w.beta
	check(t, w.alfa.submit(mainJob()))
	w.alfa.runQueue()
	w.now = n.chain[0].NotAfter
	if err := n.submit(&mail{anna, []string{mario}, message(anna, mario)}); err != nil {
		t.Errorf("last second: %v", err)
	}
	w.now = w.now.Add(time.Second)
	rows := logged(t, n, point.EventAccepted) + logged(t, n, point.EventReceived)
	for door, err := range map[string]error{
		"access":   n.submit(&mail{anna, []string{luca}, message(anna, luca)}),
		"incoming": n.receive(&mail{"x@example.org", []string{anna}, message("x@example.org", anna)}),
	} {
		var reply *point.Reply
		if err == nil || errors.As(err, &reply) || !strings.Contains(err.Error(), "the signing certificate is valid from") {
			t.Errorf("%s door: %v, want a temporary failure that names the certificate", door, err)
		}
	}
	queued := len(n.queue)
	n.runQueue()
	if len(n.queue) != queued || len(n.mailboxes[anna]) > 0 {
		t.Errorf("%d messages in the queue, %d in the mailbox; want %d and none", len(n.queue), len(n.mailboxes[anna]), queued)
	}
	if got := logged(t, n, point.EventAccepted) + logged(t, n, point.EventReceived); got != rows {
		t.Errorf("%d new rows in the legal log, want none", got-rows)
	}
	n.renew(testpki.Valid(start, start.AddDate(3, 0, 0)))
	if err := n.submit(&mail{anna, []string{luca}, message(anna, luca)}); err != nil {
		t.Errorf("with the new certificate: %v", err)
	}
}

// brokenKey is a key that was removed from its token.
type brokenKey struct{ crypto.Signer }

func (brokenKey) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return nil, errors.New("no such key")
}

// acceptances are the notices of that kind in the queue.
func (n *node) acceptances() (found [][]byte) {
	for _, m := range n.queue {
		if bytes.Contains(m.data, []byte("X-Ricevuta: accettazione")) {
			found = append(found, m.data)
		}
	}
	return found
}

// acceptance is the first of them; nil: there is none.
func (n *node) acceptance() []byte {
	if all := n.acceptances(); len(all) > 0 {
		return all[0]
	}
	return nil
}

func signerOf(t *testing.T, data []byte) *pec.Signature {
	t.Helper()
	m, err := pec.ReadMessage(bytes.NewReader(data), int64(len(data)))
	check(t, err)
	signature, err := pec.VerifySignature(m, nil)
	check(t, err)
	return signature
}
