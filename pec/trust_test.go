package pec_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pec-milter/pec-milter/internal/testpki"
	"github.com/pec-milter/pec-milter/pec"
)

// listing is a directory of a few records.
type listing []*pec.Provider

func (l listing) ByDomain(string) *pec.Provider { return nil }

func (l listing) ByCertificateHash(hash string) []*pec.Provider {
	return slices.DeleteFunc(slices.Clone(l), func(p *pec.Provider) bool {
		return !slices.ContainsFunc(p.Certificates, func(c *x509.Certificate) bool {
			sum := sha1.Sum(c.Raw)
			return strings.EqualFold(hex.EncodeToString(sum[:]), hash)
		})
	})
}

// careless is a directory that finds all its records for any hash: as if SHA-1
// were broken.
type careless struct{ listing }

func (c careless) ByCertificateHash(string) []*pec.Provider { return c.listing }

func record(name string, certificates ...*x509.Certificate) *pec.Provider {
	return &pec.Provider{Name: name, Certificates: certificates, Domains: []string{name + ".example"}}
}

func pool(authorities ...*testpki.Authority) *x509.CertPool {
	p := x509.NewCertPool()
	for _, a := range authorities {
		p.AddCert(a.Certificate())
	}
	return p
}

func list(t testing.TB, der []byte, err error) *x509.RevocationList {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	l, err := x509.ParseRevocationList(der)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// current are lists of all authorities by which nothing is revoked.
func current(t testing.TB, authorities ...*testpki.Authority) []*x509.RevocationList {
	t.Helper()
	var all []*x509.RevocationList
	for _, a := range authorities {
		der, err := a.Revoke(time.Now().Add(24 * time.Hour))
		all = append(all, list(t, der, err))
	}
	return all
}

// goodTrust trusts alfa.
func goodTrust(t testing.TB) *pec.Trust {
	t.Helper()
	s := testSigners()
	return &pec.Trust{
		Directory: listing{record("beta", s.beta.Certificate()), record("alfa", s.beta.Certificate(), s.alfa.Certificate())},
		Roots:     pool(s.root), Intermediates: pool(s.issuing), Revocations: current(t, s.root, s.issuing),
	}
}

func signature(c *testpki.Credential) *pec.Signature {
	return &pec.Signature{Certificate: c.Certificate(), Certificates: c.Chain[1:]}
}

func TestProvider(t *testing.T) {
	s := testSigners()
	now := time.Now()
	from, to := s.alfa.Certificate().NotBefore, s.alfa.Certificate().NotAfter
	for _, test := range []struct {
		name   string
		change func(*pec.Trust, *pec.Signature)
		at     time.Time
		want   error
	}{
		{"SG-01 good", nil, now, nil},
		{"intermediate only in the message", func(tr *pec.Trust, _ *pec.Signature) { tr.Intermediates = nil }, now, nil},
		{"intermediate only known", func(_ *pec.Trust, sig *pec.Signature) { sig.Certificates = nil }, now, nil},
		{"issuing authority is a root", func(tr *pec.Trust, _ *pec.Signature) { tr.Roots = pool(s.issuing) }, now, nil},
		{"SG-14 not listed", func(tr *pec.Trust, _ *pec.Signature) { tr.Directory = listing{record("beta", s.beta.Certificate())} }, now, pec.ErrNotInDirectory},
		{"SG-15 hash alone agrees", func(tr *pec.Trust, _ *pec.Signature) {
			tr.Directory = careless{listing{record("beta", s.beta.Certificate())}}
		}, now, pec.ErrNotInDirectory},
		{"SG-16 expired", nil, to.Add(time.Second), pec.ErrExpired},
		{"SG-16 last second", func(tr *pec.Trust, _ *pec.Signature) { tr.Revocations = nil }, to, pec.ErrRevocationUnknown},
		{"SG-17 a minute too early", func(tr *pec.Trust, _ *pec.Signature) { tr.Roots = pool(s.issuing) }, from.Add(-time.Minute), nil},
		{"SG-17 more than a minute too early", nil, from.Add(-61 * time.Second), pec.ErrExpired},
		{"no time at all", nil, time.Time{}, pec.ErrExpired},
		{"other root", func(tr *pec.Trust, _ *pec.Signature) { tr.Roots = pool(newRoot(t)) }, now, pec.ErrChain},
		{"no intermediate", func(tr *pec.Trust, sig *pec.Signature) { tr.Intermediates, sig.Certificates = nil, nil }, now, pec.ErrChain},
		{"SG-20 no list", func(tr *pec.Trust, _ *pec.Signature) { tr.Revocations = nil }, now, pec.ErrRevocationUnknown},
	} {
		t.Run(test.name, func(t *testing.T) {
			trust, sig := goodTrust(t), signature(s.alfa)
			if test.change != nil {
				test.change(trust, sig)
			}
			checkProvider(t, trust, sig, test.at, test.want)
		})
	}
}

// checkProvider wants the provider alfa, or an error.
func checkProvider(t *testing.T, trust *pec.Trust, sig *pec.Signature, at time.Time, want error) {
	t.Helper()
	p, err := trust.Provider(sig, at)
	if want == nil && (err != nil || p == nil || p.Name != "alfa") {
		t.Errorf("got %v, %v, want alfa", p, err)
	}
	if want != nil && (p != nil || !errors.Is(err, want)) {
		t.Errorf("got %v, %v, want %v", p, err, want)
	}
}

// TestTrustStaysAsItIs: what one message carries is not believed of the next.
func TestTrustStaysAsItIs(t *testing.T) {
	trust, sig := goodTrust(t), signature(testSigners().alfa)
	trust.Intermediates = x509.NewCertPool()
	checkProvider(t, trust, sig, time.Now(), nil)
	sig.Certificates = nil
	checkProvider(t, trust, sig, time.Now(), pec.ErrChain)
}

// TestNoRoots: the roots of the machine are not asked.
func TestNoRoots(t *testing.T) {
	trust := goodTrust(t)
	trust.Roots = nil
	if _, err := trust.Provider(signature(testSigners().alfa), time.Now()); !errors.Is(err, pec.ErrChain) || !strings.Contains(err.Error(), "no roots") {
		t.Errorf("got %v, want ErrChain: no roots", err)
	}
}

func newRoot(t testing.TB) *testpki.Authority {
	t.Helper()
	root, err := testpki.NewRoot(testSource(), "Other root")
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// TestSG22 (SG-22): of a certificate that nobody lists nothing more is looked at, least
// of all its URLs. The chain alone would fail here.
func TestSG22(t *testing.T) {
	sig := signature(testSigners().alfa)
	sig.Certificate.CRLDistributionPoints = []string{"http://127.0.0.1/", "file:///etc/passwd"}
	trust := &pec.Trust{Directory: listing{}}
	checkProvider(t, trust, sig, time.Now(), pec.ErrNotInDirectory)
}

func TestProviderOfSeveralRecords(t *testing.T) {
	s := testSigners()
	trust := goodTrust(t)
	second := record("second", s.alfa.Certificate())
	second.Name, second.Unit = "alfa", "Ambiente secondario"
	main := record("alfa", s.alfa.Certificate())
	main.MailReceipt = "ricevute@alfa.example"
	main.Domains = append(main.Domains, pec.Domain(s.alfa.Certificate().EmailAddresses[0]))
	// Anybody may list a certificate in a record of his own.
	hostile := record("hostile", s.alfa.Certificate())
	hostile.MailReceipt = "ricevute@hostile.example"
	trust.Directory = listing{hostile, second, main}
	p, err := trust.Provider(signature(s.alfa), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if p.Name != "alfa" || p.Unit != "" || !p.Manages("x@alfa.example") || !p.Manages("x@second.example") {
		t.Errorf("got %+v, want alfa with the domains of both records", p)
	}
	if p.MailReceipt != main.MailReceipt || p.Manages("x@hostile.example") {
		t.Errorf("got %+v, want nothing of the hostile record", p)
	}
	if len(second.Domains) != 1 {
		t.Errorf("the directory's record was changed: %+v", second)
	}
}

// TestNameConstraints: an authority that may certify only some mail domains.
func TestNameConstraints(t *testing.T) {
	s := testSigners()
	issuing, err := s.root.NewIntermediate("Constrained", []string{"pec.alfa.example", ".alfa.example"})
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, address string
		want          error
	}{
		{"permitted domain", "posta-certificata@pec.alfa.example", nil},
		{"permitted subdomain", "posta-certificata@a.alfa.example", nil},
		{"other domain", "posta-certificata@pec.beta.example", pec.ErrChain},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, err := issuing.CertifyProvider("Alfa", test.address, s.alfa.Key.Public())
			if err != nil {
				t.Fatal(err)
			}
			trust := goodTrust(t)
			trust.Directory = listing{record("alfa", c.Certificate())}
			trust.Revocations = current(t, s.root, issuing)
			checkProvider(t, trust, signature(c), time.Now(), test.want)
		})
	}
}

func TestUsage(t *testing.T) {
	s := testSigners()
	for _, test := range []struct {
		name  string
		usage []x509.ExtKeyUsage
		want  error
	}{
		{"emailProtection", []x509.ExtKeyUsage{x509.ExtKeyUsageEmailProtection}, nil},
		{"any", []x509.ExtKeyUsage{x509.ExtKeyUsageAny}, nil},
		{"none said", nil, nil},
		{"TLS server", []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, pec.ErrChain},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, err := s.issuing.CertifyProvider("Alfa", serviceAddress, s.alfa.Key.Public(),
				func(c *x509.Certificate) { c.ExtKeyUsage = test.usage })
			if err != nil {
				t.Fatal(err)
			}
			trust := goodTrust(t)
			trust.Directory = listing{record("alfa", c.Certificate())}
			checkProvider(t, trust, signature(c), time.Now(), test.want)
		})
	}
}

// TestSG23Chain (SG-23): chains that are too long.
func TestSG23Chain(t *testing.T) {
	s := testSigners()
	by, authorities := s.root, []*testpki.Authority{s.root}
	for _, name := range []string{"One", "Two", "Three", "Four"} {
		next, err := by.NewIntermediate(name, nil)
		if err != nil {
			t.Fatal(err)
		}
		by, authorities = next, append(authorities, next)
	}
	for _, test := range []struct {
		name   string
		issuer *testpki.Authority
		want   error
	}{
		{"chain of 5", authorities[3], nil},
		{"chain of 6", authorities[4], pec.ErrChain},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, err := test.issuer.CertifyProvider("Alfa", serviceAddress, s.alfa.Key.Public())
			if err != nil {
				t.Fatal(err)
			}
			trust := goodTrust(t)
			trust.Directory = listing{record("alfa", c.Certificate())}
			trust.Revocations = current(t, authorities...)
			checkProvider(t, trust, signature(c), time.Now(), test.want)
		})
	}
}

// TestSG23Circle (SG-23): authorities that certify each other lead nowhere.
func TestSG23Circle(t *testing.T) {
	s := testSigners()
	one, err := s.root.NewIntermediate("One", nil)
	if err != nil {
		t.Fatal(err)
	}
	two, err := one.NewIntermediate("Two", nil)
	if err != nil {
		t.Fatal(err)
	}
	back, err := two.CertifyProvider("", "", one.Key.Public(), func(c *x509.Certificate) {
		asIssuing(c)
		c.RawSubject, c.SubjectKeyId = one.Certificate().RawSubject, one.Certificate().SubjectKeyId
	})
	if err != nil {
		t.Fatal(err)
	}
	c, err := one.CertifyProvider("Alfa", serviceAddress, s.alfa.Key.Public())
	if err != nil {
		t.Fatal(err)
	}
	trust := goodTrust(t)
	trust.Directory = listing{record("alfa", c.Certificate())}
	circle := &pec.Signature{Certificate: c.Certificate(), Certificates: []*x509.Certificate{back.Certificate(), two.Certificate()}}
	checkProvider(t, trust, circle, time.Now(), pec.ErrChain)
}

// TestSG23WeakIntermediate (SG-23): a key in a message is held to the same limits as a
// signer's.
func TestSG23WeakIntermediate(t *testing.T) {
	s := testSigners()
	key, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	weak, err := s.root.CertifyProvider("", "", key.Public(), asIssuing)
	if err != nil {
		t.Fatal(err)
	}
	template := *s.alfa.Certificate()
	template.AuthorityKeyId = nil
	der, err := x509.CreateCertificate(rand.Reader, &template, weak.Certificate(), s.alfa.Key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	trust := goodTrust(t)
	trust.Directory = listing{record("alfa", signer)}
	sig := &pec.Signature{Certificate: signer, Certificates: []*x509.Certificate{weak.Certificate()}}
	checkProvider(t, trust, sig, time.Now(), pec.ErrChain)
	// The key is the only reason: known beforehand, the authority is believed.
	trust.Intermediates.AddCert(weak.Certificate())
	checkProvider(t, trust, sig, time.Now(), pec.ErrRevocationUnknown)
}

// asIssuing makes a certificate look like that of the issuing authority.
func asIssuing(c *x509.Certificate) {
	issuing := testSigners().issuing.Certificate()
	c.RawSubject, c.SubjectKeyId = issuing.RawSubject, issuing.SubjectKeyId
	c.IsCA, c.BasicConstraintsValid, c.KeyUsage, c.ExtKeyUsage = true, true, issuing.KeyUsage, nil
	c.EmailAddresses = nil
}
