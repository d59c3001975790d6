package directory

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/pec-milter/pec-milter/pec"
)

// The examples of RFC 6109 section 4.5.10: the hashes and certificates are real.
func TestReadLDIFOfTheRFC(t *testing.T) {
	tests := []struct {
		file   string
		want   []string
		faults int
	}{
		{"rfc6109-1.ldif", []string{"Anonymous Certified Mail S.p.A./"}, 1},
		{"rfc6109-2.ldif", []string{"Anonymous Certified Mail S.p.A./", "Certified Mail S.p.A./Secondary Environment",
			"Postal Services S.r.l./"}, 0},
	}
	for _, test := range tests {
		t.Run(test.file, func(t *testing.T) {
			f, err := os.Open(filepath.Join("testdata", test.file))
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			d, faults, err := ReadLDIF(f)
			if err != nil {
				t.Fatal(err)
			}
			if len(faults) != test.faults {
				t.Errorf("faults %v, want %d", faults, test.faults)
			}
			var got []string
			for _, p := range d.Providers() {
				got = append(got, p.Name+"/"+p.Unit)
				if len(p.Certificates) != 1 {
					t.Errorf("%s has %d certificates, want 1", p.Name, len(p.Certificates))
				}
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("providers %q, want %q", got, test.want)
			}
		})
	}
}

// edit replaces what must be there.
func edit(t *testing.T, text, old, replacement string) string {
	t.Helper()
	if !strings.Contains(text, old) {
		t.Fatalf("%q is not in the file to be edited", old)
	}
	return strings.Replace(text, old, replacement, 1)
}

// What is wrong with one provider leaves the others alone.
func TestReadLDIFFaults(t *testing.T) {
	p := testPKI(t)
	good := write(t, p.providers())
	all := []string{"ricevute@alfa.example", "ricevute@due.alfa.example", "ricevute@beta.example"}
	withoutBeta, betaHash := all[:2], "providerCertificateHash: "+pec.CertificateHash(p.beta.Raw)+"\n"
	tests := []struct {
		name, old, new string
		want           []string // mailReceipt of the providers that stay
		fault          string   // in the first fault; empty: none
	}{
		{"nothing wrong", "dn:", "dn:", all, ""},
		{"CRLF", "\n", "\r\n", all, ""},
		{"comments", "mailReceipt:", "# a comment\n  that goes on\nmailReceipt:", all, ""},
		{"other object class", "objectclass: provider\nproviderName: Beta", "objectclass: person\nproviderName: Beta", withoutBeta, ""},
		{"attribute names in other case", "providerName: Beta", "PROVIDERNAME: Beta", all, ""},
		{"no empty line between records", "\n\ndn: providerName=Beta", "\ndn: providerName=Beta", all, ""},
		{"hash in upper case", betaHash, "providerCertificateHash: " + strings.ToUpper(pec.CertificateHash(p.beta.Raw)) + "\n", all, ""},
		{"no providerName", "providerName: Beta\n", "", withoutBeta, "providerName is missing"},
		{"empty providerName", "providerName: Beta\n", "providerName: \n", withoutBeta, "providerName is missing"},
		{"two providerNames", "providerName: Beta\n", "providerName: Beta\nproviderName: B\n", withoutBeta, "2 times"},
		{"line end in providerName", "providerName: Beta\n", "providerName:: QmV0YQ0KWA==\n", withoutBeta, "not text"},
		{"providerName not UTF-8", "providerName: Beta\n", "providerName:: /w==\n", withoutBeta, "not text"},
		{"two providerUnits", "providerName: Beta\n", "providerName: Beta\nproviderUnit: x\nproviderUnit: y\n", withoutBeta, "2 times"},
		{"no mailReceipt", "mailReceipt: ricevute@beta.example\n", "", withoutBeta, "mailReceipt is missing"},
		{"mailReceipt without domain", "ricevute@beta.example", "ricevute", withoutBeta, "not an address"},
		{"mailReceipt in quotes", "ricevute@beta.example", `"a b"@beta.example`, withoutBeta, "not an address"},
		{"mailReceipt with two @", "ricevute@beta.example", "a@b@beta.example", withoutBeta, "not an address"},
		{"no managedDomains", "managedDomains: beta.example\n", "", withoutBeta, "managedDomains is missing"},
		{"domain that is a filter", ": beta.example\n", ": beta.example\nmanagedDomains: *)(managedDomains=*\n", all, "not a domain"},
		{"domain with a letter that lowers to ASCII", ": beta.example\n", ": beta.example\nmanagedDomains: ban\u212aa.example\n", all, "not a domain"},
		{"only bad domains", "managedDomains: beta.example\n", "managedDomains: beta example\n", withoutBeta, "not a domain"},
		{"domain twice in one record", "managedDomains: beta.example\n", "managedDomains: beta.example\nmanagedDomains: BETA.example\n", all, ""},
		{"hash missing", betaHash, "", all, "not among providerCertificateHash"},
		{"hash of another certificate", betaHash, betaHash + "providerCertificateHash: 00\n", all, "none of its certificates"},
		{"certificate that is none", "providerCertificate;binary::", "providerCertificateHash: " + pec.CertificateHash([]byte("none")) +
			"\nproviderCertificate;binary:: bm9uZQ==\nproviderCertificate;binary::", all, "malformed certificate"},
		{"certificate not base64", "mailReceipt: ricevute@beta", "providerCertificate;binary:: ???\nmailReceipt: ricevute@beta", withoutBeta, "base64"},
		{"value by reference", "providerName: Beta\n", "providerName:< file:///etc/hostname\n", withoutBeta, "by reference"},
		{"folded value by reference", "providerName: Beta\n", "providerName:\n < file:///etc/hostname\n", withoutBeta, "by reference"},
		{"change record", "dn: providerName=Beta,o=postacert\n", "dn: providerName=Beta,o=postacert\nchangetype: add\n", withoutBeta, "change record"},
		{"dn that is none", "dn: providerName=Beta,o=postacert\n", "dn: Beta\n", withoutBeta, "the dn"},
		{"no dn", "dn: providerName=Beta,o=postacert\n", "", withoutBeta, "missing 'dn:'"},
		{"two LDIFLocationURLs", ": beta.example\n", ": beta.example\nLDIFLocationURL: a\nLDIFLocationURL: b\n", all, "value left out"},
		{"domain in two environments of one provider", "managedDomains: due.alfa.example\n",
			"managedDomains: due.alfa.example\nmanagedDomains: alfa.example\n", all, "another environment"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			d, faults, err := ReadLDIF(strings.NewReader(edit(t, good, test.old, test.new)))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, provider := range d.Providers() {
				got = append(got, provider.MailReceipt)
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("providers %q, want %q", got, test.want)
			}
			checkFault(t, faults, test.fault)
			if d.ByDomain("alfa.example") != d.Providers()[0] {
				t.Errorf("alfa.example is not the main environment's")
			}
		})
	}
}

func checkFault(t *testing.T, faults []*Fault, want string) {
	t.Helper()
	if want == "" {
		if len(faults) > 0 {
			t.Errorf("fault %v, want none", faults[0])
		}
		return
	}
	if len(faults) == 0 || !strings.Contains(faults[0].Error(), want) {
		t.Errorf("faults %v, want the first to say %q", faults, want)
	}
}

func TestFaultNamesLineAndRecord(t *testing.T) {
	text := "version: 1\n\n# a comment\n\ndn: o=postacert\no: postacert\n\ndn: providerName=A\n ,o=postacert\nobjectclass: provider\n" +
		"\ndn: " + strings.Repeat("x", 300) + "\n"
	_, _, err := ReadLDIF(strings.NewReader(text))
	for _, want := range []string{"no provider", "2 faults", "line 8,", `"providerName=A,o=postacert"`, "providerName is missing"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want it to say %q", err, want)
		}
	}
}

// What is wrong here makes the whole file untrustworthy.
func TestReadLDIFErrors(t *testing.T) {
	p := testPKI(t)
	good := write(t, p.providers())
	hijack := strings.ReplaceAll("dn: providerUnit=x,providerName=Gamma,o=postacert\nobjectclass: provider\nproviderName: Beta\n"+
		"providerUnit: x\nmailReceipt: a@gamma.example\nmanagedDomains: DOMAIN\n", "DOMAIN", "BETA.example")
	tests := []struct{ name, text, want string }{
		{"empty", "", "no provider"},
		{"only the base record", "dn: o=postacert\nobjectclass: organization\n", "no provider"},
		{"not LDIF", "<html>\n<p>Gateway timeout\n", "no provider"},
		{"signed file", "0\x80\x06\x09*\x86H\x86\xf7\n", ".p7m"},
		{"cut short", strings.TrimSuffix(good, "ample\n\n"), "cut short"},
		{"domain of another provider", good + hijack, "beta.example is claimed twice"},
		{"domain of a record that is left out", edit(t, good, "mailReceipt: ricevute@beta.example\n", "") + hijack, "claimed twice"},
		{"record twice", good + good, "claimed twice"},
		{"too many faults", good + strings.Repeat("dn: x\n\n", maxFaults+1), "more than 1000 faults"},
		{"too large", strings.Repeat("\n", maxLDIF+1), "larger than 64 MiB"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			d, faults, err := ReadLDIF(strings.NewReader(test.text))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want %q", err, test.want)
			}
			if d != nil || faults != nil {
				t.Errorf("a directory %v or faults %v beside the error", d, faults)
			}
		})
	}
}

// A hostile file must not take long: a time that grows with the square of the
// size would here be hours.
func TestReadLDIFIsLinear(t *testing.T) {
	good := write(t, testPKI(t).providers())
	folded := edit(t, good, "providerName: Beta\n", "description: x\n"+strings.Repeat(" x\n", 3<<20)+"providerName: Beta\n")
	mustRead(t, folded)

	var domains strings.Builder
	for i := range 300_000 {
		fmt.Fprintf(&domains, "managedDomains: d%d.example\n", i)
	}
	d := mustRead(t, edit(t, good, "managedDomains: beta.example\n", domains.String()))
	if p := d.ByDomain("d299999.example"); p == nil || p.Name != "Beta" {
		t.Errorf("ByDomain of the last domain = %v, want Beta", p)
	}
}

func TestWriteLDIFRoundTrip(t *testing.T) {
	p := testPKI(t)
	tests := []struct {
		name      string
		providers []*pec.Provider
	}{
		{"three records", p.providers()},
		{"name with a comma", renamed(p.providers(), `Poste, "Certificate" + C. <S.p.A.>; \x=#`)},
		{"name that is not ASCII", renamed(p.providers(), "Società Città S.r.l. – più")},
		{"name that begins oddly", renamed(p.providers(), "<: #x")},
		{"long name", renamed(p.providers(), strings.Repeat("Società lunga ", 40)+"x")},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := mustRead(t, write(t, test.providers)).Providers()
			if !reflect.DeepEqual(got, test.providers) {
				t.Errorf("read back %+v, want %+v", got, test.providers)
			}
		})
	}
}

// renamed renames the first provider with its environment.
func renamed(providers []*pec.Provider, name string) []*pec.Provider {
	providers[0].Name, providers[1].Name = name, name
	return providers
}

func TestWriteLDIFRefuses(t *testing.T) {
	p := testPKI(t)
	tests := []struct {
		name  string
		spoil func([]*pec.Provider) []*pec.Provider
		want  string
	}{
		{"nobody", func([]*pec.Provider) []*pec.Provider { return nil }, "no provider"},
		{"no certificate", func(all []*pec.Provider) []*pec.Provider { all[1].Certificates = nil; return all }, "no certificate"},
		{"no domain", func(all []*pec.Provider) []*pec.Provider { all[1].Domains = nil; return all }, "managedDomains"},
		{"domain twice", func(all []*pec.Provider) []*pec.Provider { all[2].Domains = all[0].Domains; return all }, "claimed twice"},
		{"record twice", func(all []*pec.Provider) []*pec.Provider { return append(all, all[0]) }, "claimed twice"},
		{"line end in the name", func(all []*pec.Provider) []*pec.Provider { all[2].Name = "Be\nta"; return all }, "not text"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var out strings.Builder
			err := WriteLDIF(&out, test.spoil(p.providers()))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want %q", err, test.want)
			}
			if out.Len() > 0 {
				t.Errorf("wrote %d bytes beside the error", out.Len())
			}
		})
	}
}

func FuzzLDIF(f *testing.F) {
	files, err := filepath.Glob("testdata/*.ldif")
	if err != nil || len(files) == 0 {
		f.Fatalf("no seeds in testdata: %v", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		if d, _, err := ReadLDIF(strings.NewReader(string(text))); err != nil || len(d.Providers()) == 0 {
			f.Fatalf("seed %s has no provider: %v", file, err)
		}
		f.Add(string(text))
	}
	f.Add("dn:: bz1wb3N0YWNlcnQ=\nobjectclass: provider\nproviderName:< file:///etc/hostname\n")
	f.Add("dn: x=#0403616263\nobjectclass: provider\ncontrol: 1.2.3 true\nchangetype: modify\n-\n")
	f.Fuzz(func(t *testing.T, text string) {
		d, faults, err := ReadLDIF(strings.NewReader(text))
		if err != nil {
			if d != nil || faults != nil {
				t.Fatal("a value together with an error")
			}
			return
		}
		checkDirectory(t, d)
		var out strings.Builder
		if WriteLDIF(&out, d.Providers()) != nil {
			return // what was left out of a record may keep it from being written
		}
		if again := mustRead(t, out.String()); !reflect.DeepEqual(again.Providers(), d.Providers()) {
			t.Errorf("written and read back: %+v, want %+v", again.Providers(), d.Providers())
		}
	})
}

func checkDirectory(t *testing.T, d *Directory) {
	for _, p := range d.Providers() {
		if p.Name == "" || p.MailReceipt == "" || len(p.Domains) == 0 {
			t.Errorf("incomplete record %+v", p)
		}
		for _, domain := range p.Domains {
			if !isDomain(domain) || domain != strings.ToLower(domain) || d.ByDomain(domain) == nil {
				t.Errorf("domain %q of %q cannot be found", domain, p.Name)
			}
		}
		for _, certificate := range p.Certificates {
			if !slices.Contains(d.ByCertificateHash(pec.CertificateHash(certificate.Raw)), p) {
				t.Errorf("certificate of %q cannot be found", p.Name)
			}
		}
	}
}
