package pec_test

import (
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"testing"
	"time"

	"github.com/pec-milter/pec-milter/internal/testpki"
	"github.com/pec-milter/pec-milter/pec"
)

// customList issues a list that revokes certificates, changed before it is
// signed.
func customList(t testing.TB, by *testpki.Authority, change func(*x509.RevocationList), revoked ...*x509.Certificate) *x509.RevocationList {
	t.Helper()
	l := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: time.Now().Add(-time.Hour), NextUpdate: time.Now().Add(time.Hour)}
	for _, c := range revoked {
		l.RevokedCertificateEntries = append(l.RevokedCertificateEntries,
			x509.RevocationListEntry{SerialNumber: c.SerialNumber, RevocationTime: l.ThisUpdate})
	}
	change(l)
	der, err := x509.CreateRevocationList(rand.Reader, l, by.Certificate(), by.Key)
	return list(t, der, err)
}

// renamed is an authority with the key of the issuing one, and another name.
func renamed(t testing.TB) *testpki.Authority {
	t.Helper()
	s := testSigners()
	c, err := s.root.CertifyProvider("Renamed", "", s.issuing.Key.Public(), func(c *x509.Certificate) {
		subject := c.Subject
		asIssuing(c)
		c.RawSubject, c.Subject = nil, subject
	})
	if err != nil {
		t.Fatal(err)
	}
	c.Key = s.issuing.Key
	return &testpki.Authority{Credential: *c}
}

// extension adds an extension that says which certificates the list is about.
func extension(critical bool, oid asn1.ObjectIdentifier, value []byte) func(*x509.RevocationList) {
	return func(l *x509.RevocationList) {
		l.ExtraExtensions = append(l.ExtraExtensions, pkix.Extension{Id: oid, Critical: critical, Value: value})
	}
}

// scope is an issuing distribution point (RFC 5280 section 5.2.5) with these
// contents.
func scope(contents ...[]byte) func(*x509.RevocationList) {
	var all []byte
	for _, c := range contents {
		all = append(all, c...)
	}
	return extension(true, asn1.ObjectIdentifier{2, 5, 29, 28},
		must(asn1.Marshal(asn1.RawValue{Tag: asn1.TagSequence, IsCompound: true, Bytes: all})))
}

func flag(tag byte) []byte { return []byte{0x80 | tag, 1, 0xff} }

// point names a distribution point by its URL.
func point(url string) []byte {
	name := append([]byte{0x86, byte(len(url))}, url...)
	return must(asn1.Marshal(contextual(0, must(asn1.Marshal(contextual(0, name))))))
}

func as(l *x509.RevocationList) {}

func times(this, next time.Duration) func(*x509.RevocationList) {
	return func(l *x509.RevocationList) {
		l.ThisUpdate, l.NextUpdate = time.Now().Add(this), time.Now().Add(next)
	}
}

func TestRevocation(t *testing.T) {
	s := testSigners()
	alfa, issuing := s.alfa.Certificate(), s.issuing.Certificate()
	impostor := newRoot(t) // with the name of the issuing authority
	named, err := testpki.NewRoot(testSource(), "", func(c *x509.Certificate) { c.RawSubject = issuing.RawSubject })
	if err != nil {
		t.Fatal(err)
	}
	const hour = time.Hour
	for _, test := range []struct {
		name  string
		lists []*x509.RevocationList // of the issuing authority; that of the root is good
		want  error
	}{
		{"SG-18 revoked", []*x509.RevocationList{customList(t, s.issuing, as, alfa)}, pec.ErrRevoked},
		{"another is revoked", []*x509.RevocationList{customList(t, s.issuing, as, s.beta.Certificate())}, nil},
		{"SG-18 newest counts: revoked", []*x509.RevocationList{customList(t, s.issuing, times(-2*hour, hour)), customList(t, s.issuing, as, alfa)}, pec.ErrRevoked},
		{"newest counts: released", []*x509.RevocationList{customList(t, s.issuing, times(-2*hour, hour), alfa), customList(t, s.issuing, as)}, nil},
		{"SG-19 a cached list that is still good", []*x509.RevocationList{customList(t, s.issuing, times(-48*hour, time.Minute))}, nil},
		{"SG-20 expired", []*x509.RevocationList{customList(t, s.issuing, times(-48*hour, -time.Minute))}, pec.ErrRevocationUnknown},
		{"SG-20 expired, though it revokes", []*x509.RevocationList{customList(t, s.issuing, times(-48*hour, -time.Minute), alfa)}, pec.ErrRevocationUnknown},
		{"from half a minute ahead", []*x509.RevocationList{customList(t, s.issuing, times(30*time.Second, hour))}, nil},
		{"from an hour ahead", []*x509.RevocationList{customList(t, s.issuing, times(hour, 2*hour))}, pec.ErrRevocationUnknown},
		{"SG-21 wrong issuer", []*x509.RevocationList{customList(t, impostor, as)}, pec.ErrRevocationUnknown},
		{"SG-21 wrong issuer with the same key", []*x509.RevocationList{customList(t, renamed(t), as)}, pec.ErrRevocationUnknown},
		{"SG-21 bad signature", []*x509.RevocationList{customList(t, named, as)}, pec.ErrRevocationUnknown},
		{"SG-21 bad signature beside a good one", []*x509.RevocationList{customList(t, named, times(-time.Minute, hour)), customList(t, s.issuing, as, alfa)}, pec.ErrRevoked},
		{"SG-21 delta", []*x509.RevocationList{customList(t, s.issuing, extension(true, asn1.ObjectIdentifier{2, 5, 29, 27}, []byte{2, 1, 1}))}, pec.ErrRevocationUnknown},
		{"unknown critical extension", []*x509.RevocationList{customList(t, s.issuing, extension(true, asn1.ObjectIdentifier{1, 2, 3}, []byte{5, 0}))}, pec.ErrRevocationUnknown},
		{"unknown extension", []*x509.RevocationList{customList(t, s.issuing, extension(false, asn1.ObjectIdentifier{1, 2, 3}, []byte{5, 0}))}, nil},
		{"only users' certificates", []*x509.RevocationList{customList(t, s.issuing, scope(flag(1)))}, nil},
		{"only authorities' certificates", []*x509.RevocationList{customList(t, s.issuing, scope(flag(2)))}, pec.ErrRevocationUnknown},
		{"only some reasons", []*x509.RevocationList{customList(t, s.issuing, scope([]byte{0x83, 2, 1, 0x40}))}, pec.ErrRevocationUnknown},
		{"indirect", []*x509.RevocationList{customList(t, s.issuing, scope(flag(4)))}, pec.ErrRevocationUnknown},
		{"only attribute certificates", []*x509.RevocationList{customList(t, s.issuing, scope(flag(5)))}, pec.ErrRevocationUnknown},
		{"of another distribution point", []*x509.RevocationList{customList(t, s.issuing, scope(point("http://crl.example/2")))}, pec.ErrRevocationUnknown},
		{"of a distribution point with a relative name", []*x509.RevocationList{customList(t, s.issuing, scope([]byte{0xa0, 2, 0xa1, 0}))}, pec.ErrRevocationUnknown},
		{"scope that cannot be read", []*x509.RevocationList{customList(t, s.issuing, extension(true, asn1.ObjectIdentifier{2, 5, 29, 28}, []byte{5, 0}))}, pec.ErrRevocationUnknown},
	} {
		t.Run(test.name, func(t *testing.T) {
			trust := goodTrust(t)
			trust.Revocations = append(test.lists, current(t, s.root)...)
			checkProvider(t, trust, signature(s.alfa), time.Now(), test.want)
		})
	}
}

// TestSG20Grace (SG-20): an expired list counts for so long, and then no more; a newer
// one takes its place at once.
func TestSG20Grace(t *testing.T) {
	s := testSigners()
	alfa := s.alfa.Certificate()
	expired := customList(t, s.issuing, times(-48*time.Hour, -time.Hour))
	revoking := customList(t, s.issuing, times(-48*time.Hour, -time.Hour), alfa)
	for _, test := range []struct {
		name  string
		grace time.Duration
		lists []*x509.RevocationList
		want  error
	}{
		{"none", 0, []*x509.RevocationList{expired}, pec.ErrRevocationUnknown},
		{"longer", 61 * time.Minute, []*x509.RevocationList{expired}, nil},
		{"shorter", 59 * time.Minute, []*x509.RevocationList{expired}, pec.ErrRevocationUnknown},
		{"longer, and it revokes", 61 * time.Minute, []*x509.RevocationList{revoking}, pec.ErrRevoked},
		{"a newer list revokes", 61 * time.Minute, []*x509.RevocationList{expired, customList(t, s.issuing, as, alfa)}, pec.ErrRevoked},
	} {
		t.Run(test.name, func(t *testing.T) {
			trust := goodTrust(t)
			trust.RevocationGrace = test.grace
			trust.Revocations = append(test.lists, current(t, s.root)...)
			checkProvider(t, trust, signature(s.alfa), time.Now(), test.want)
		})
	}
}

// TestRevocationPoints: an authority that spreads its certificates over lists.
func TestRevocationPoints(t *testing.T) {
	s := testSigners()
	c, err := s.issuing.CertifyProvider("Alfa", serviceAddress, s.alfa.Key.Public(),
		func(c *x509.Certificate) { c.CRLDistributionPoints = []string{"http://crl.example/1"} })
	if err != nil {
		t.Fatal(err)
	}
	hostName := point("http://crl.example/1")
	hostName[4] = 0x82 // dNSName
	own, other := scope(point("http://crl.example/1"), flag(1)), scope(point("http://crl.example/2"), flag(1))
	for _, test := range []struct {
		name string
		list *x509.RevocationList
		want error
	}{
		{"own list", customList(t, s.issuing, own), nil},
		{"own list, revoked", customList(t, s.issuing, own, c.Certificate()), pec.ErrRevoked},
		{"other list", customList(t, s.issuing, other), pec.ErrRevocationUnknown},
		{"name of another kind", customList(t, s.issuing, scope(hostName)), pec.ErrRevocationUnknown},
	} {
		t.Run(test.name, func(t *testing.T) {
			trust := goodTrust(t)
			trust.Directory = listing{record("alfa", c.Certificate())}
			trust.Revocations = append(current(t, s.root), test.list)
			checkProvider(t, trust, signature(c), time.Now(), test.want)
		})
	}
}

// TestRevokedAuthority: the issuing authority was certified twice with one key.
func TestRevokedAuthority(t *testing.T) {
	s := testSigners()
	again, err := s.root.CertifyProvider("", "", s.issuing.Key.Public(), asIssuing)
	if err != nil {
		t.Fatal(err)
	}
	first, second := s.issuing.Certificate(), again.Certificate()
	for _, test := range []struct {
		name    string
		revoked []*x509.Certificate // by the root
		signer  []*x509.Certificate // by the issuing authority
		want    error
	}{
		{"none", nil, nil, nil},
		{"the first", []*x509.Certificate{first}, nil, nil},
		{"the second", []*x509.Certificate{second}, nil, nil},
		{"both", []*x509.Certificate{first, second}, nil, pec.ErrRevoked},
		{"the signer", nil, []*x509.Certificate{s.alfa.Certificate()}, pec.ErrRevoked},
	} {
		t.Run(test.name, func(t *testing.T) {
			trust, sig := goodTrust(t), signature(s.alfa)
			sig.Certificates = []*x509.Certificate{first, second}
			trust.Revocations = []*x509.RevocationList{customList(t, s.root, as, test.revoked...), customList(t, s.issuing, as, test.signer...)}
			checkProvider(t, trust, sig, time.Now(), test.want)
			trust.Revocations = trust.Revocations[:1]
			checkProvider(t, trust, sig, time.Now(), pec.ErrRevocationUnknown)
		})
	}
}

// TestCrossCertified: the issuing authority has certificates of two roots. What
// is not known of one chain may be good.
func TestCrossCertified(t *testing.T) {
	s := testSigners()
	root := newRoot(t)
	without := func(usage x509.KeyUsage) *x509.Certificate {
		c, err := root.CertifyProvider("", "", s.issuing.Key.Public(), asIssuing, func(c *x509.Certificate) { c.KeyUsage &^= usage })
		if err != nil {
			t.Fatal(err)
		}
		return c.Certificate()
	}
	alfa, first := s.alfa.Certificate(), s.issuing.Certificate()
	for _, test := range []struct {
		name   string
		second *x509.Certificate
		lists  []*x509.RevocationList
		want   error
	}{
		{"first revoked, of the second nothing known", without(0),
			[]*x509.RevocationList{customList(t, s.root, as, first), customList(t, s.issuing, as)}, pec.ErrRevocationUnknown},
		{"first revoked, second good", without(0),
			[]*x509.RevocationList{customList(t, s.root, as, first), customList(t, root, as), customList(t, s.issuing, as)}, nil},
		{"signer revoked, second may not sign lists", without(x509.KeyUsageCRLSign),
			[]*x509.RevocationList{customList(t, s.root, as), customList(t, root, as), customList(t, s.issuing, as, alfa)}, pec.ErrRevoked},
		{"list of users' certificates for an authority", without(0),
			[]*x509.RevocationList{customList(t, s.root, scope(flag(1))), customList(t, s.issuing, as)}, pec.ErrRevocationUnknown},
	} {
		t.Run(test.name, func(t *testing.T) {
			trust, sig := goodTrust(t), signature(s.alfa)
			trust.Roots = pool(s.root, root)
			sig.Certificates = []*x509.Certificate{first, test.second}
			trust.Revocations = test.lists
			checkProvider(t, trust, sig, time.Now(), test.want)
		})
	}
}
