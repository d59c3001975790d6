package testpki

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// pki is a root, the authority that issues to providers, and a provider. Making
// keys is slow: all tests share it and change nothing in it.
type pki struct {
	now          time.Time
	root, issuer *Authority
	provider     *Credential
}

var shared = sync.OnceValues(func() (*pki, error) {
	now := time.Now().Truncate(time.Second)
	root, err := NewRoot(Source{Now: now, Rand: rand.Reader}, "Test Root")
	if err != nil {
		return nil, err
	}
	issuer, err := root.NewIntermediate("Test PEC CA", []string{"alfa.example", "beta.example"})
	if err != nil {
		return nil, err
	}
	provider, err := issuer.NewProvider("Alfa S.p.A.", "posta-certificata@alfa.example")
	return &pki{now, root, issuer, provider}, err
})

func testPKI(t *testing.T) *pki {
	t.Helper()
	p, err := shared()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// verify judges a provider's certificate as crypto/x509 does.
func (p *pki) verify(c *Credential) error {
	roots, intermediates := x509.NewCertPool(), x509.NewCertPool()
	roots.AddCert(p.root.Certificate())
	for _, certificate := range c.Chain[1:] {
		intermediates.AddCert(certificate)
	}
	_, err := c.Certificate().Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: intermediates, CurrentTime: p.now,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageEmailProtection},
	})
	return err
}

func TestProviderProfile(t *testing.T) {
	p := testPKI(t)
	c := p.provider.Certificate()
	if key, ok := c.PublicKey.(*rsa.PublicKey); !ok || key.Size() != 256 {
		t.Errorf("key is a %T, want RSA of 2048 bits", c.PublicKey)
	}
	if got, want := c.Subject.String(), "CN=Posta Certificata,O=Alfa S.p.A.,C=IT"; got != want {
		t.Errorf("subject %q, want %q", got, want)
	}
	if !bytes.Equal(c.AuthorityKeyId, p.issuer.Certificate().SubjectKeyId) {
		t.Errorf("authority key id %x, want %x", c.AuthorityKeyId, p.issuer.Certificate().SubjectKeyId)
	}
	critical := map[string]bool{ // RFC 6109 section 5.5.2; nothing else may be there
		"2.5.29.15": true,  // key usage
		"2.5.29.37": false, // extended key usage
		"2.5.29.14": false, // subject key identifier
		"2.5.29.35": false, // authority key identifier
		"2.5.29.17": false, // subject alternative name
	}
	for _, e := range c.Extensions {
		want, known := critical[e.Id.String()]
		if !known || e.Critical != want {
			t.Errorf("extension %s, critical %t: want known %t, critical %t", e.Id, e.Critical, true, want)
		}
		delete(critical, e.Id.String())
	}
	if len(critical) > 0 {
		t.Errorf("missing extensions: %v", critical)
	}
}

func TestVerify(t *testing.T) {
	p := testPKI(t)
	tests := []struct {
		name    string
		address string
		changes []Change
		want    string // in the error; empty: good
	}{
		{"good", "posta-certificata@beta.example", nil, ""},
		{"expired", "x@alfa.example", []Change{Valid(p.now.AddDate(-2, 0, 0), p.now.AddDate(-1, 0, 0))}, "expired"},
		{"not yet valid", "x@alfa.example", []Change{Valid(p.now.AddDate(0, 0, 1), p.now.AddDate(1, 0, 0))}, "not yet valid"},
		{"domain outside the name constraints", "x@gamma.example", nil, "not permitted"},
		{"other address", "x@alfa.example", []Change{Addresses("x@gamma.example")}, "not permitted"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c, err := p.issuer.CertifyProvider("Beta", test.address, p.provider.Key.Public(), test.changes...)
			if err != nil {
				t.Fatal(err)
			}
			err = p.verify(c)
			if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("Verify: got %v, want %q", err, test.want)
			}
		})
	}
}

func TestChanges(t *testing.T) {
	p := testPKI(t)
	bad, err := p.issuer.NewProvider("Alfa S.p.A.", "x@alfa.example", WithoutKeyUsage(), Addresses())
	if err != nil {
		t.Fatal(err)
	}
	c := bad.Certificate()
	if c.KeyUsage != 0 || len(c.EmailAddresses) != 0 {
		t.Errorf("got key usage %v and addresses %v, want none", c.KeyUsage, c.EmailAddresses)
	}
	if !bytes.Equal(c.RawSubject, p.provider.Certificate().RawSubject) {
		t.Error("two certificates of one provider have different subjects")
	}
	if bytes.Equal(c.RawSubjectPublicKeyInfo, p.provider.Certificate().RawSubjectPublicKeyInfo) {
		t.Error("two certificates made anew have the same key")
	}
}

func TestCertifyProviderHasNoKey(t *testing.T) {
	p := testPKI(t)
	c, err := p.root.CertifyProvider("Alfa", "x@alfa.example", p.provider.Key.Public())
	if err != nil {
		t.Fatal(err)
	}
	if c.Key != nil || len(c.Chain) != 1 {
		t.Errorf("got key %v and a chain of %d, want no key and 1", c.Key, len(c.Chain))
	}
	if _, err := p.issuer.CertifyProvider("Alfa", "x@alfa.example", "no key"); err == nil {
		t.Error("a certificate was issued for what is not a key")
	}
}

func TestServer(t *testing.T) {
	p := testPKI(t)
	server, err := p.root.NewServer([]string{"mx.beta.example", "imap.beta.example"})
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(p.root.Certificate())
	for _, host := range []string{"mx.beta.example", "imap.beta.example", "127.0.0.1"} {
		options := x509.VerifyOptions{Roots: roots, CurrentTime: p.now, DNSName: host}
		if _, err := server.Certificate().Verify(options); err != nil {
			t.Errorf("Verify for %s: %v", host, err)
		}
	}
}

func TestRevoke(t *testing.T) {
	p := testPKI(t)
	yesterday := p.now.AddDate(0, 0, -1)
	tests := []struct {
		name    string
		next    time.Time
		revoked []*x509.Certificate
	}{
		{"empty", p.now.AddDate(0, 0, 7), nil},
		{"one", p.now.AddDate(0, 0, 7), []*x509.Certificate{p.provider.Certificate()}},
		{"expired", yesterday, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			der, err := p.issuer.Revoke(test.next, test.revoked...)
			if err != nil {
				t.Fatal(err)
			}
			list, err := x509.ParseRevocationList(der)
			if err != nil {
				t.Fatal(err)
			}
			if err := list.CheckSignatureFrom(p.issuer.Certificate()); err != nil {
				t.Errorf("signature: %v", err)
			}
			if !list.NextUpdate.Equal(test.next) || !list.ThisUpdate.Before(test.next) {
				t.Errorf("valid from %v to %v, want to %v", list.ThisUpdate, list.NextUpdate, test.next)
			}
			if got, want := len(list.RevokedCertificateEntries), len(test.revoked); got != want {
				t.Fatalf("%d entries, want %d", got, want)
			}
			for i, certificate := range test.revoked {
				if got := list.RevokedCertificateEntries[i].SerialNumber; got.Cmp(certificate.SerialNumber) != 0 {
					t.Errorf("revoked %v, want %v", got, certificate.SerialNumber)
				}
			}
		})
	}
}

// openssl is the independent judge.
func openssl(t *testing.T, arguments ...string) (output string, ok bool) {
	t.Helper()
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Skip("openssl is not installed")
	}
	out, err := exec.Command("openssl", arguments...).CombinedOutput()
	if err != nil && !strings.Contains(err.Error(), "exit status") {
		t.Fatal(err)
	}
	return string(out), err == nil
}

func TestOpenSSLVerify(t *testing.T) {
	p := testPKI(t)
	foreign, err := p.issuer.CertifyProvider("Gamma", "x@gamma.example", p.provider.Key.Public())
	if err != nil {
		t.Fatal(err)
	}
	week := p.now.AddDate(0, 0, 7)
	tests := []struct {
		name    string
		leaf    *Credential
		next    time.Time
		revoked []*x509.Certificate
		want    string
	}{
		{"good", p.provider, week, nil, "OK"},
		{"revoked", p.provider, week, []*x509.Certificate{p.provider.Certificate()}, "certificate revoked"},
		{"expired list", p.provider, p.now.AddDate(0, 0, -1), nil, "CRL has expired"},
		{"domain outside the name constraints", foreign, week, nil, "permitted subtree violation"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			out, ok := openssl(t, p.verifyArguments(t, test.leaf, test.next, test.revoked)...)
			if ok != (test.want == "OK") || !strings.Contains(out, test.want) {
				t.Errorf("openssl verify: got %t and %q, want %q", ok, out, test.want)
			}
		})
	}
}

func (p *pki) verifyArguments(t *testing.T, leaf *Credential, next time.Time, revoked []*x509.Certificate) []string {
	t.Helper()
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	der, err := p.issuer.Revoke(next, revoked...)
	if err != nil {
		t.Fatal(err)
	}
	write := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	write(WriteCertificates(path("root.pem"), p.root.Certificate()))
	write(WriteCertificates(path("chain.pem"), leaf.Chain...))
	write(WriteRevocations(path("crl.pem"), der))
	return []string{"verify", "-x509_strict", "-purpose", "smimesign", "-crl_check", "-CAfile", path("root.pem"),
		"-untrusted", path("chain.pem"), "-CRLfile", path("crl.pem"), path("chain.pem")}
}

func TestOpenSSLShowsProfile(t *testing.T) {
	p := testPKI(t)
	path := filepath.Join(t.TempDir(), "provider.pem")
	if err := WriteCertificates(path, p.provider.Certificate()); err != nil {
		t.Fatal(err)
	}
	out, ok := openssl(t, "x509", "-noout", "-text", "-in", path)
	if !ok {
		t.Fatal(out)
	}
	for _, want := range []string{
		"Public-Key: (2048 bit)",
		"O = Alfa S.p.A., CN = Posta Certificata",
		"X509v3 Key Usage: critical\n                Digital Signature\n",
		"E-mail Protection",
		"email:posta-certificata@alfa.example",
		"X509v3 Subject Key Identifier: \n",
		"X509v3 Authority Key Identifier: \n",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("openssl x509 -text does not show %q:\n%s", want, out)
		}
	}
	if strings.Contains(out, "Basic Constraints") {
		t.Errorf("basic constraints in a provider's certificate:\n%s", out)
	}
}

func TestNameConstraintsAreCritical(t *testing.T) {
	c := testPKI(t).issuer.Certificate()
	for _, e := range c.Extensions {
		if e.Id.Equal(asn1.ObjectIdentifier{2, 5, 29, 30}) {
			if !e.Critical {
				t.Error("the name constraints are not critical (RFC 5280 section 4.2.1.10)")
			}
			return
		}
	}
	t.Error("no name constraints")
}

func TestWriteFiles(t *testing.T) {
	p := testPKI(t)
	dir := t.TempDir()
	chain, key := filepath.Join(dir, "chain.pem"), filepath.Join(dir, "key.pem")
	if err := p.provider.WriteFiles(chain, key); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(key)
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Mode().Perm(); got != 0o600 {
		t.Errorf("mode of the key file %o, want 600", got)
	}
	out, ok := openssl(t, "pkey", "-in", key, "-pubout")
	if !ok {
		t.Fatal(out)
	}
	want, ok := openssl(t, "x509", "-in", chain, "-noout", "-pubkey")
	if !ok || out != want {
		t.Errorf("key file has %s, certificate file has %s", out, want)
	}
	if err := WriteKey(key, p.provider.Key); err == nil {
		t.Error("WriteKey wrote over a file")
	}
	only := &Credential{Chain: p.provider.Chain}
	if err := only.WriteFiles(chain, filepath.Join(dir, "none.pem")); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "none.pem")); err == nil {
		t.Error("a key file was written without a key")
	}
}
