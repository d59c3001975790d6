package directory

import (
	"crypto/x509"
	"strings"
	"testing"

	"github.com/pec-milter/pec-milter/pec"
)

func TestCompare(t *testing.T) {
	p := testPKI(t)
	old, now := newDirectory(p.providers()), p.providers()
	now[0].MailReceipt, now[0].LocationURL = "new@alfa.example", ""
	now[2].Certificates = []*x509.Certificate{p.gamma, p.alfa}
	now = append(now[:1:1], now[2], &pec.Provider{Name: "Gamma", Domains: []string{"gamma.example"}})
	got := Compare(old, newDirectory(now))
	if len(got) != 4 {
		t.Fatalf("changes %+v, want 4", got)
	}
	if got[0].Kind != RecordChanged || len(got[0].Values) != 2 || got[0].Values[1] != "LDIFLocationURL: https://alfa.example/alfa.ldif.p7m -> (none)" {
		t.Errorf("alfa: %+v", got[0])
	}
	if got[1].Kind != RecordRemoved || got[1].Unit != "Secondo ambiente" || got[1].DomainsRemoved[0] != "due.alfa.example" || len(got[1].Values) != 0 {
		t.Errorf("environment: %+v", got[1])
	}
	if got[2].Kind != RecordChanged || got[2].CertificatesAdded[0] != pec.CertificateHash(p.alfa.Raw) || got[2].CertificatesRemoved[0] != pec.CertificateHash(p.beta.Raw) {
		t.Errorf("beta: %+v", got[2])
	}
	if got[3].Kind != RecordAdded || got[3].DomainsAdded[0] != "gamma.example" {
		t.Errorf("gamma: %+v", got[3])
	}
	if same := Compare(old, newDirectory(p.providers())); len(same) != 0 {
		t.Errorf("no change: %+v", same)
	}
}

// TestDifferencesAreLogged: IN-08, who comes and whose domains: what nobody can
// tell to be wrong, as gmail.com, an operator can see. What was wrong before is not
// told again.
func TestDifferencesAreLogged(t *testing.T) {
	b := newBench(t)
	bad := "dn: providerName=G,o=postacert\nobjectclass: provider\n"
	b.put(b.config.LDIF, write(t, b.pki.providers())+bad)
	b.open()
	b.wantLogged("something is wrong with a record", 1)
	providers := append(b.pki.providers(), &pec.Provider{Name: "Gamma", Certificates: []*x509.Certificate{b.pki.gamma},
		MailReceipt: "r@gamma.example", Domains: []string{"gmail.com"}})
	providers[2].Domains = append(providers[2].Domains, "outlook.com")
	b.put(b.config.LDIF, write(t, providers)+bad)
	b.current()
	log := b.logged.String()
	for _, want := range []string{
		`level=WARN msg="a provider came or went" what=added provider=Gamma unit="" domains=gmail.com`,
		`level=INFO msg="a provider's record has changed" provider=Beta`, `domains_added=outlook.com`,
	} {
		if !strings.Contains(log, want) {
			t.Errorf("logged %s, want %q", log, want)
		}
	}
	b.wantLogged("something is wrong with a record", 0)
	b.put(b.config.LDIF, write(t, b.pki.providers()))
	b.current()
	b.put(b.config.LDIF, write(t, b.pki.providers())+bad)
	b.current()
	b.wantLogged("something is wrong with a record", 1)
}
