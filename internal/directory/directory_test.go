package directory

import (
	"bytes"
	"crypto/rand"
	"crypto/x509"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pec-milter/pec-milter/internal/testpki"
	"github.com/pec-milter/pec-milter/pec"
)

// pki is made once for all tests: making keys is slow.
type pki struct {
	now               time.Time
	root, other, sub  *testpki.Authority
	alfa, beta, gamma *x509.Certificate
	office            *testpki.Credential // signs the directory; of the other root
	stranger          *testpki.Credential // has the same name, and is below sub
}

var shared = sync.OnceValues(func() (*pki, error) {
	p := &pki{now: time.Now().Truncate(time.Second)}
	source := testpki.Source{Now: p.now, Rand: rand.Reader}
	var err error
	if p.root, err = testpki.NewRoot(source, "Root"); err != nil {
		return nil, err
	}
	if p.other, err = testpki.NewRoot(source, "Other Root"); err != nil {
		return nil, err
	}
	if p.sub, err = p.root.NewIntermediate("PEC CA", nil); err != nil {
		return nil, err
	}
	if p.office, err = p.other.NewProvider("AgID", "indice@agid.example"); err != nil {
		return nil, err
	}
	if p.stranger, err = p.sub.NewProvider("AgID", "indice@agid.example"); err != nil {
		return nil, err
	}
	for name, certificate := range map[string]**x509.Certificate{"alfa": &p.alfa, "beta": &p.beta, "gamma": &p.gamma} {
		c, err := p.sub.CertifyProvider(name, "pec@"+name+".example", p.root.Key.Public())
		if err != nil {
			return nil, err
		}
		*certificate = c.Certificate()
	}
	return p, nil
})

func testPKI(t testing.TB) *pki {
	t.Helper()
	p, err := shared()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// providers are a small directory: alfa with a secondary environment, and beta
// with two certificates, as while one is being renewed.
func (p *pki) providers() []*pec.Provider {
	return []*pec.Provider{
		{Name: "Alfa S.p.A.", Certificates: []*x509.Certificate{p.alfa}, MailReceipt: "ricevute@alfa.example",
			Domains: []string{"alfa.example", "pec.alfa.example"}, LocationURL: "https://alfa.example/alfa.ldif.p7m"},
		{Name: "Alfa S.p.A.", Unit: "Secondo ambiente", Certificates: []*x509.Certificate{p.alfa},
			MailReceipt: "ricevute@due.alfa.example", Domains: []string{"due.alfa.example"}},
		{Name: "Beta", Certificates: []*x509.Certificate{p.beta, p.gamma}, MailReceipt: "ricevute@beta.example",
			Domains: []string{"beta.example"}},
	}
}

func write(t testing.TB, providers []*pec.Provider) string {
	t.Helper()
	var out bytes.Buffer
	if err := WriteLDIF(&out, providers); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func mustRead(t testing.TB, text string) *Directory {
	t.Helper()
	d, faults, err := ReadLDIF(strings.NewReader(text))
	if err != nil || len(faults) > 0 {
		t.Fatalf("ReadLDIF: faults %v, error %v", faults, err)
	}
	return d
}

func TestByDomain(t *testing.T) {
	d := mustRead(t, write(t, testPKI(t).providers()))
	tests := []struct{ domain, want string }{
		{"alfa.example", "ricevute@alfa.example"},
		{"ALFA.Example", "ricevute@alfa.example"},
		{"due.alfa.example", "ricevute@due.alfa.example"},
		{"beta.example", "ricevute@beta.example"},
		{"x.beta.example", ""},
		{"", ""},
	}
	for _, test := range tests {
		got := ""
		if p := d.ByDomain(test.domain); p != nil {
			got = p.MailReceipt
		}
		if got != test.want {
			t.Errorf("ByDomain(%q) = %q, want %q", test.domain, got, test.want)
		}
	}
}

// evilDomains are no dot-atoms, as RFC 6109 section 4.5.5 demands, but something to
// LDAP, SQL or SMTP.
func evilDomains() []string {
	return []string{
		"*)(managedDomains=*", "beta.example)(objectClass=*", "*", "beta.*", `beta\2eexample`, "(beta.example)", "beta.example\x00",
		"beta.example' OR '1'='1", "beta.example\r\n", "beta.example, alfa.example", " beta.example", ".beta.example", "beta..example",
		"beta.example.", "b\u00e8ta.example", "\u212aappa.example", "[127.0.0.1]",
	}
}

// TestDomainAsFilter: IN-07, what is no domain in dot-atom form is nobody's: its
// recipient is "esterno" (RFC 6109 sections 2.2.1 and 4.5.5).
func TestDomainAsFilter(t *testing.T) {
	d := mustRead(t, write(t, testPKI(t).providers()))
	for _, domain := range evilDomains() {
		t.Run("IN-07 "+domain, func(t *testing.T) {
			if p := d.ByDomain(domain); p != nil {
				t.Errorf("ByDomain(%q) = %s, want none", domain, p.Name)
			}
		})
	}
}

// FuzzDomain: IN-07, whatever the domain of a recipient is, the provider that is
// found lists it, but for its case.
func FuzzDomain(f *testing.F) {
	d := mustRead(f, write(f, testPKI(f).providers()))
	for _, domain := range append(evilDomains(), "alfa.example", "PEC.Alfa.example") {
		f.Add(domain)
	}
	f.Fuzz(func(t *testing.T, domain string) {
		p := d.ByDomain(domain)
		if p != nil && !slices.ContainsFunc(p.Domains, func(own string) bool { return strings.EqualFold(own, domain) && len(own) == len(domain) }) {
			t.Errorf("ByDomain(%q) = %s, which has %q", domain, p.Name, p.Domains)
		}
	})
}

func TestByCertificateHash(t *testing.T) {
	p := testPKI(t)
	d := mustRead(t, write(t, p.providers()))
	alfa, gamma := pec.CertificateHash(p.alfa.Raw), pec.CertificateHash(p.gamma.Raw)
	tests := []struct {
		name, hash string
		want       []string // mailReceipt
	}{
		{"shared by two environments", alfa, []string{"ricevute@alfa.example", "ricevute@due.alfa.example"}},
		{"upper case", strings.ToUpper(alfa), []string{"ricevute@alfa.example", "ricevute@due.alfa.example"}},
		{"second of two", gamma, []string{"ricevute@beta.example"}},
		{"not listed", pec.CertificateHash(p.root.Certificate().Raw), nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var got []string
			for _, provider := range d.ByCertificateHash(test.hash) {
				got = append(got, provider.MailReceipt)
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("ByCertificateHash = %q, want %q", got, test.want)
			}
		})
	}
}

func TestIndexBelongsToTheDirectory(t *testing.T) {
	p := testPKI(t)
	d := mustRead(t, write(t, p.providers()))
	hash := pec.CertificateHash(p.alfa.Raw)
	clear(d.ByCertificateHash(hash))
	clear(d.Providers())
	if d.ByCertificateHash(hash)[0] == nil || d.Providers()[0] == nil {
		t.Error("who asks can change the directory")
	}
}

func TestSharedDomainIsTheMainEnvironments(t *testing.T) {
	main := &pec.Provider{Name: "A", Domains: []string{"a.example"}}
	one := &pec.Provider{Name: "A", Unit: "1", Domains: []string{"a.example"}}
	two := &pec.Provider{Name: "A", Unit: "2", Domains: []string{"a.example"}}
	tests := []struct {
		name      string
		providers []*pec.Provider
		want      *pec.Provider
	}{
		{"main first", []*pec.Provider{main, one}, main},
		{"main last", []*pec.Provider{one, main}, main},
		{"no main", []*pec.Provider{two, one}, two},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := newDirectory(test.providers).ByDomain("a.example"); got != test.want {
				t.Errorf("ByDomain = %+v, want %+v", got, test.want)
			}
		})
	}
}
