package doctor

import (
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/pec-milter/pec-milter/internal/testpki"
	"github.com/pec-milter/pec-milter/pec"
)

const address = "posta-certificata@alfa.example"

// listing is a providers directory of one record, or none.
type listing []*pec.Provider

func (l listing) ByCertificateHash(string) []*pec.Provider { return l }

func (l listing) ByDomain(domain string) *pec.Provider {
	for _, p := range l {
		if p.Manages("x@" + domain) {
			return p
		}
	}
	return nil
}

// brokenKey has the public half of one key and the signatures of none.
type brokenKey struct {
	crypto.Signer
	err error
}

func (k brokenKey) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return []byte("no signature"), k.err
}

func alfa(t *testing.T) (*testpki.Authority, *testpki.Credential) {
	t.Helper()
	root := authority(t)
	credential, err := root.NewProvider("Alfa PEC S.p.A.", address)
	if err != nil {
		t.Fatal(err)
	}
	return root, credential
}

func TestSigner(t *testing.T) {
	_, credential := alfa(t)
	certificate := credential.Chain[0]
	want(t, Signer(credential.Key, certificate, rand.Reader), Good, "verifies")
	want(t, Signer(brokenKey{credential.Key, nil}, certificate, rand.Reader), Bad, "does not verify")
	want(t, Signer(brokenKey{credential.Key, errors.New("session lost")}, certificate, rand.Reader), Bad, "session lost")
	_, other := alfa(t)
	want(t, Signer(credential.Key, other.Chain[0], rand.Reader), Bad, "does not verify")
}

func TestCertificateExpiry(t *testing.T) {
	_, credential := alfa(t)
	end := credential.Chain[0].NotAfter
	for _, c := range []struct {
		at     time.Time
		result Result
		text   string
	}{
		{end.AddDate(0, 0, -61), Good, "valid until"},
		{end.AddDate(0, 0, -59), Bad, "order the new one"},
		{end.AddDate(0, 0, -29), Bad, "in the directory now"},
		{end.AddDate(0, 0, -6), Bad, "stops then"},
		{end.Add(time.Hour), Bad, "expired"},
		{credential.Chain[0].NotBefore.Add(-time.Hour), Bad, "not valid before"},
	} {
		found := Certificate(credential.Chain, address, nil, c.at)
		want(t, found[0], c.result, c.text)
		want(t, found[1], Good, address)
		want(t, found[2], NotChecked, "no providers directory")
	}
	want(t, Certificate(credential.Chain, "x@alfa.example", nil, noon)[1], Bad, "not for x@alfa.example")
}

// listOf is a revocation list, current at noon.
func listOf(t *testing.T, root *testpki.Authority, revoked ...*x509.Certificate) *x509.RevocationList {
	t.Helper()
	der, err := root.Revoke(noon.AddDate(0, 0, 1), revoked...)
	if err != nil {
		t.Fatal(err)
	}
	list, err := x509.ParseRevocationList(der)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestCertificateTrust(t *testing.T) {
	root, credential := alfa(t)
	list, revoked := listOf(t, root), listOf(t, root, credential.Chain[0])
	us := listing{{Name: "Alfa PEC S.p.A.", Certificates: credential.Chain[:1], Domains: []string{"alfa.example"}}}
	roots := x509.NewCertPool()
	roots.AddCert(root.Certificate())
	for _, c := range []struct {
		name   string
		trust  pec.Trust
		result Result
		text   string
	}{
		{"good", pec.Trust{Directory: us, Roots: roots, Revocations: []*x509.RevocationList{list}}, Good, "Alfa PEC"},
		{"not listed", pec.Trust{Directory: listing{}, Roots: roots}, Bad, "not in the PEC providers directory"},
		{"no list", pec.Trust{Directory: us, Roots: roots}, Bad, "no current revocation list"},
		{"no root", pec.Trust{Directory: us}, Bad, "trusted authority"},
		{"revoked", pec.Trust{Directory: us, Roots: roots, Revocations: []*x509.RevocationList{revoked}}, Bad, "revoked"},
	} {
		t.Run(c.name, func(t *testing.T) {
			want(t, Certificate(credential.Chain, address, &c.trust, noon)[2], c.result, c.text)
		})
	}
	want(t, Domains([]string{"alfa.example"}, credential.Chain, &pec.Trust{Directory: us}), Good, "1 of ours")
	want(t, Domains([]string{"alfa.example", "beta.example"}, credential.Chain, &pec.Trust{Directory: us}), Bad, "beta.example")
	want(t, Domains([]string{"alfa.example"}, credential.Chain, nil), NotChecked, "not in the providers directory")
}
