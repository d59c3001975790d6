package main

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"log/slog"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/pec-milter/pec-milter/internal/point"
	"github.com/pec-milter/pec-milter/internal/testpki"
	"github.com/pec-milter/pec-milter/pec"
)

// fakeSigner has a certificate, and another one that it may be given.
type fakeSigner struct {
	chain, next []*x509.Certificate
	err         error // of reading the next one
}

func (s *fakeSigner) Current() (crypto.Signer, []*x509.Certificate, error) { return nil, s.chain, nil }
func (s *fakeSigner) Earlier() []point.Credential                          { return nil }

func (s *fakeSigner) Refresh(accept func([]*x509.Certificate) error) (bool, error) {
	if s.err != nil || s.next == nil {
		return false, s.err
	}
	if err := accept(s.next); err != nil {
		return false, err
	}
	s.chain, s.next = s.next, nil
	return true, nil
}

// TestCertificateExpiryAlarms: OP-08, once a day from 60 days before the end, and
// every hour after it.
func TestCertificateExpiryAlarms(t *testing.T) {
	end := time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	var log bytes.Buffer
	o := &ownCertificate{
		signer: &fakeSigner{chain: []*x509.Certificate{{NotBefore: end.AddDate(-1, 0, 0), NotAfter: end, SerialNumber: big.NewInt(0x1a)}}},
		logger: slog.New(slog.NewTextHandler(&log, nil)),
	}
	for now := end.AddDate(0, 0, -62); !now.After(end.Add(3 * time.Hour)); now = now.Add(time.Minute) {
		o.look(now)
	}
	for text, want := range map[string]int{
		"within 60 days": 30, "within 30 days": 23, "within 7 days": 8, "everything gets 451": 3,
	} {
		if got := strings.Count(log.String(), text); got != want {
			t.Errorf("%d lines %q, want %d", got, text, want)
		}
	}
	if !strings.Contains(log.String(), "level=ERROR msg=\"signing certificate expires within 7 days: nothing is certified after that\" serial=1a") {
		t.Errorf("the alarm does not name the certificate:\n%.2000s", &log)
	}
}

// TestNewCertificateTaken: what is refused is told when the reason changes and
// every hour; what is taken is told.
func TestNewCertificateTaken(t *testing.T) {
	now := time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	valid := func() []*x509.Certificate {
		return []*x509.Certificate{{NotBefore: now, NotAfter: now.AddDate(1, 0, 0), SerialNumber: big.NewInt(0x1a)}}
	}
	var log bytes.Buffer
	refusal := errors.New("not in the directory")
	signer := &fakeSigner{chain: valid(), err: errors.New("no such file")}
	o := &ownCertificate{signer: signer, logger: slog.New(slog.NewTextHandler(&log, nil)),
		accept: func([]*x509.Certificate, time.Time) error { return refusal }}
	minutes := func(n int, text string, want int) {
		t.Helper()
		for range n {
			now = now.Add(time.Minute)
			o.look(now)
		}
		if got := strings.Count(log.String(), text); got != want {
			t.Errorf("%d lines %q, want %d:\n%s", got, text, want, &log)
		}
		log.Reset()
	}
	minutes(61, "new signing certificate or key refused, the old ones stay in use", 2)
	signer.err, signer.next = nil, valid()
	minutes(2, "not in the directory", 1)
	refusal = nil
	minutes(2, "signing certificate read again", 1)
	minutes(2, "signing certificate", 0)
}

// TestAcceptCertificate: OP-08, a new certificate must be one that other providers
// believe.
func TestAcceptCertificate(t *testing.T) {
	now := time.Now()
	ca, err := testpki.NewRoot(testpki.Source{Now: now, Rand: rand.Reader}, "CA")
	if err != nil {
		t.Fatal(err)
	}
	other, err := testpki.NewRoot(testpki.Source{Now: now, Rand: rand.Reader}, "Other CA")
	if err != nil {
		t.Fatal(err)
	}
	const address = "posta-certificata@alfa.example"
	certify := func(by *testpki.Authority, address string, changes ...testpki.Change) *x509.Certificate {
		c, err := by.CertifyProvider("Alfa", address, ca.Key.Public(), changes...)
		if err != nil {
			t.Fatal(err)
		}
		return c.Certificate()
	}
	later := testpki.Valid(now.Add(time.Hour), now.AddDate(1, 0, 0))
	revoked := certify(ca, address)
	der, err := ca.Revoke(now.Add(time.Hour), revoked)
	if err != nil {
		t.Fatal(err)
	}
	list, err := x509.ParseRevocationList(der)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name        string
		certificate *x509.Certificate
		listed      bool
		lists       []*x509.RevocationList
		want        string // empty: it is taken
		warning     string
	}{
		{"good", certify(ca, address), true, []*x509.RevocationList{list}, "", ""},
		{"of no list", certify(ca, address), true, nil, "", ""},
		{"not of the profile", certify(ca, address, testpki.WithoutKeyUsage()), true, nil, "", "no key usage digitalSignature"},
		{"not in the directory", certify(ca, address), false, nil, "not in the providers directory", ""},
		{"for another address", certify(ca, "x@alfa.example"), true, nil, "provider.address", ""},
		{"not yet valid", certify(ca, address, later), true, nil, "the certificate is valid from", ""},
		{"of another authority", certify(other, address), true, nil, "does not lead to a trusted authority", ""},
		{"revoked", revoked, true, []*x509.RevocationList{list}, "certificate is revoked", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			trust := &ownTrust{pec.Trust{Roots: x509.NewCertPool(), Revocations: test.lists}}
			trust.Roots.AddCert(ca.Certificate())
			provider := &pec.Provider{Name: "Alfa", Domains: []string{"alfa.example"}}
			if test.listed {
				provider.Certificates = []*x509.Certificate{test.certificate}
			}
			trust.Directory = oneProvider{provider}
			var log strings.Builder
			p := &point.Provider{
				Trust: trust, Identity: point.Identity{Address: address, Domains: []string{"alfa.example"}},
				Logger: slog.New(slog.NewTextHandler(&log, nil)),
			}
			err := acceptCertificate(p, []*x509.Certificate{test.certificate}, now)
			if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("got %v, want %q", err, test.want)
			}
			if !strings.Contains(log.String(), test.warning) || test.warning == "" && log.Len() > 0 {
				t.Errorf("log: %s, want %q", &log, test.warning)
			}
		})
	}
}

type ownTrust struct{ pec.Trust }

func (t *ownTrust) Current() (*pec.Trust, error) { return &t.Trust, nil }

// oneProvider is a directory of one record.
type oneProvider struct{ *pec.Provider }

func (o oneProvider) ByDomain(string) *pec.Provider            { return o.Provider }
func (o oneProvider) ByCertificateHash(string) []*pec.Provider { return []*pec.Provider{o.Provider} }
