package pec

import (
	"bytes"
	"crypto/x509"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// alfaAlone is a directory with one provider, whose certificate is that of the
// golden messages.
type alfaAlone struct{ provider *Provider }

func (d alfaAlone) ByDomain(string) *Provider            { return d.provider }
func (d alfaAlone) ByCertificateHash(string) []*Provider { return []*Provider{d.provider} }

// goldenTrust trusts the golden messages but for revocation: there is no list,
// so that a genuine one ends with ErrRevocationUnknown.
func goldenTrust(t testing.TB) *Trust {
	t.Helper()
	by := testIssuer(t)
	root, err := x509.ParseCertificate(readPEM(t, "testdata/pki/ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(root)
	return &Trust{Roots: roots, Directory: alfaAlone{&Provider{
		Name: by.Name, Certificates: by.Chain, Domains: []string{"pec.alfa.example"},
	}}}
}

// goldenSeeds adds all golden messages; none is a failure.
func goldenSeeds(f *testing.F) {
	f.Helper()
	seeds, err := filepath.Glob("testdata/golden/*/want.eml")
	if err != nil || len(seeds) < 10 {
		f.Fatalf("seeds: got %d (%v), want at least 10", len(seeds), err)
	}
	for _, path := range seeds {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
}

// FuzzClassify: whatever comes in has one outcome, and nothing but a genuine
// message is correct.
func FuzzClassify(f *testing.F) {
	goldenSeeds(f)
	trust, at := goldenTrust(f), time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := ReadMessage(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			return
		}
		c, err := Classify(m, trust, at)
		switch {
		case c == nil:
			t.Fatal("no classification")
		case err == nil && c.Correct():
			t.Fatal("correct, though no revocation list says so")
		case c.Provider != nil && c.Signature == nil:
			t.Fatal("a provider without a signature")
		}
	})
}

// FuzzAddresses: IN-04, what is read from an address list is an address, and written
// again it is the same one.
func FuzzAddresses(f *testing.F) {
	for _, s := range []string{"a@b.example", `"a b" <"x y"@b.example>, c@d.example`, "group: a@b.example;", "=?utf-8?q?=E8?= <a@b.example>", "<@x:a@b>", "undisclosed-recipients:;"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, list string) {
		addresses, err := Addresses(Header{{"To", " " + list}}, "To")
		if err != nil && addresses != nil {
			t.Fatal("addresses together with an error")
		}
		for _, a := range addresses {
			if !strings.Contains(a, "@") {
				t.Fatalf("%q is no address", a)
			}
			again, err := Addresses(Header{{"To", " " + quotedAddress(a)}}, "To")
			if err != nil || len(again) != 1 || !SameAddress(again[0], a) {
				t.Fatalf("%q written as %q is read as %q, %v", a, quotedAddress(a), again, err)
			}
		}
	})
}
