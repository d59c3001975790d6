package point_test

import (
	"bytes"
	"crypto/x509"
	"log/slog"
	"strings"
	"testing"

	"github.com/pec-milter/pec-milter/internal/testpki"
)

// TestJudgementIsLogged: the log says which check a peer's message failed, where
// the reply says nothing, and what is odd about a certificate that is accepted all
// the same (RFC 6109 section 5.5.2).
func TestJudgementIsLogged(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*world)
		good   bool
		want   string
	}{
		{"good", func(*world) {}, true, ""},
		{"SG-14 not in the directory", func(w *world) { w.providers = w.providers[:1] }, false, "not in the PEC providers directory"},
		{"SG-16 expired", func(w *world) {
			w.certifyBeta(t, func(c *x509.Certificate) { c.NotBefore, c.NotAfter = w.now.AddDate(0, 0, -2), w.now.AddDate(0, 0, -1) })
		}, false, "not valid at this time"},
		{"SG-18 revoked", func(w *world) { w.revokeBeta(t) }, false, "certificate is revoked"},
		{"SG-26 no key usage", func(w *world) { w.certifyBeta(t, testpki.WithoutKeyUsage()) }, true, "no key usage digitalSignature"},
		{"SG-26 basic constraints", func(w *world) {
			w.certifyBeta(t, func(c *x509.Certificate) { c.BasicConstraintsValid = true })
		}, true, "basic constraints"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			c.change(w)
			var log bytes.Buffer
			w.alfa.provider.Logger = slog.New(slog.NewTextHandler(&log, nil))
			err := w.alfa.receive(&mail{betaAddress, []string{mario}, w.beta.sign(receiptFor())})
			if c.good != (err == nil) {
				t.Errorf("got %v, want it taken: %v", err, c.good)
			}
			if !strings.Contains(log.String(), c.want) || c.want == "" && strings.Contains(log.String(), "why=") {
				t.Errorf("log: got %s, want %q", &log, c.want)
			}
		})
	}
}

// certifyBeta gives beta another certificate for its key.
func (w *world) certifyBeta(t *testing.T, change testpki.Change) {
	t.Helper()
	keys, err := makeKeys()
	check(t, err)
	c, err := keys.ca.CertifyProvider("beta PEC S.p.A.", betaAddress, keys.beta.Key.Public(), change)
	check(t, err)
	w.beta.chain = c.Chain
	w.providers[1].Certificates = c.Chain[:1]
}

func (w *world) revokeBeta(t *testing.T) {
	t.Helper()
	keys, err := makeKeys()
	check(t, err)
	der, err := keys.ca.Revoke(start.AddDate(0, 0, 2), keys.beta.Certificate())
	check(t, err)
	list, err := x509.ParseRevocationList(der)
	check(t, err)
	w.revocations = []*x509.RevocationList{list}
}
