package directory

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pec-milter/pec-milter/internal/testpki"
	"github.com/pec-milter/pec-milter/pec"
)

// bench is a source on files of its own, and what it logged.
type bench struct {
	*testing.T
	pki    *pki
	config Config
	source *Source
	logged bytes.Buffer
}

func newBench(t *testing.T) *bench {
	t.Helper()
	dir := t.TempDir()
	b := &bench{T: t, pki: testPKI(t), config: Config{
		LDIF:        filepath.Join(dir, "pec.ldif"),
		Roots:       filepath.Join(dir, "roots"),
		Revocations: []string{filepath.Join(dir, "ca.crl")},
	}}
	b.must(os.Mkdir(b.config.Roots, 0o755))
	b.put(b.config.LDIF, write(t, b.pki.providers()))
	b.putCertificates("ca.pem", b.pki.root.Certificate(), b.pki.sub.Certificate())
	b.put(b.config.Revocations[0], b.list(b.pki.sub))
	return b
}

func (b *bench) must(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// put replaces a file as it should be done, by renaming.
func (b *bench) put(path, text string) {
	b.Helper()
	b.must(os.WriteFile(path+".new", []byte(text), 0o644))
	b.must(os.Rename(path+".new", path))
}

func (b *bench) putCertificates(name string, certificates ...*x509.Certificate) {
	b.Helper()
	b.must(testpki.WriteCertificates(filepath.Join(b.config.Roots, name), certificates...))
}

// list is a revocation list in DER.
func (b *bench) list(a *testpki.Authority, revoked ...*x509.Certificate) string {
	b.Helper()
	der, err := a.Revoke(b.pki.now.AddDate(0, 0, 1), revoked...)
	b.must(err)
	return string(der)
}

func (b *bench) open() {
	b.Helper()
	source, err := Open(b.config, slog.New(slog.NewTextHandler(&b.logged, nil)))
	b.must(err)
	b.source = source
}

func (b *bench) current() *pec.Trust {
	b.Helper()
	trust, err := b.source.Current()
	b.must(err)
	return trust
}

// wantLogged wants a text in the log since the last call, in so many lines.
func (b *bench) wantLogged(text string, lines int) {
	b.Helper()
	if got := strings.Count(b.logged.String(), text); got != lines {
		b.Errorf("logged %d times %q, want %d:\n%s", got, text, lines, b.logged.String())
	}
	b.logged.Reset()
}

// trusts tells whether a provider's certificate leads to a root.
func trusts(trust *pec.Trust, certificate *x509.Certificate) bool {
	_, err := certificate.Verify(x509.VerifyOptions{
		Roots: trust.Roots, Intermediates: trust.Intermediates,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageEmailProtection},
	})
	return err == nil
}

func TestOpen(t *testing.T) {
	b := newBench(t)
	b.open()
	trust := b.current()
	if trust.Directory.ByDomain("beta.example") == nil || len(b.source.Providers()) != 3 {
		t.Errorf("providers %v, want 3", b.source.Providers())
	}
	if !trusts(trust, b.pki.alfa) {
		t.Error("a provider's certificate does not lead to a root")
	}
	if len(trust.Revocations) != 1 {
		t.Errorf("%d revocation lists, want 1", len(trust.Revocations))
	}
	if b.logged.Len() > 0 {
		t.Errorf("logged %s, want nothing", b.logged.String())
	}
}

func TestOpenErrors(t *testing.T) {
	tests := []struct {
		name  string
		spoil func(*bench)
		want  string
	}{
		{"no LDIF", func(b *bench) { b.must(os.Remove(b.config.LDIF)) }, "pec.ldif: no such file"},
		{"empty LDIF", func(b *bench) { b.put(b.config.LDIF, "") }, "pec.ldif: no provider"},
		{"LDIF is a directory", func(b *bench) { b.config.LDIF = b.config.Roots }, "is a directory"},
		{"no roots directory", func(b *bench) { b.must(os.RemoveAll(b.config.Roots)) }, "roots: no such file"},
		{"empty roots directory", func(b *bench) { b.must(os.Remove(filepath.Join(b.config.Roots, "ca.pem"))) }, "no root certificate"},
		{"no root among the authorities", func(b *bench) { b.putCertificates("ca.pem", b.pki.sub.Certificate()) }, "no root certificate"},
		{"root that is none", func(b *bench) { b.put(filepath.Join(b.config.Roots, "ca.pem"), "x") }, "ca.pem: no certificate in PEM"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := newBench(t)
			test.spoil(b)
			source, err := Open(b.config, slog.New(slog.DiscardHandler))
			if err == nil || !strings.Contains(err.Error(), test.want) || source != nil {
				t.Errorf("Open = %v, %v; want an error with %q", source, err, test.want)
			}
		})
	}
}

func TestCurrentIsTheSameValueUntilAFileChanges(t *testing.T) {
	b := newBench(t)
	b.open()
	first := b.current()
	if b.current() != first {
		t.Error("another value without a change")
	}
	b.put(b.config.LDIF, write(t, b.pki.providers()[:2]))
	if second := b.current(); second == first || second.Directory.ByDomain("beta.example") != nil {
		t.Error("the change was not seen")
	}
	if first.Directory.ByDomain("beta.example") == nil {
		t.Error("a value in use has changed")
	}
	b.wantLogged("providers directory read again", 1)
}

// The new version has the size of the old one.
func TestHardToSeeChanges(t *testing.T) {
	b := newBench(t)
	b.open()
	when := b.pki.now.Add(time.Hour)
	text := func(domain string) string {
		return strings.ReplaceAll(write(t, b.pki.providers()), "beta.example", domain)
	}
	b.must(os.WriteFile(b.config.LDIF, []byte(text("zeta.example")), 0o644))
	b.must(os.Chtimes(b.config.LDIF, when, when))
	if b.current().Directory.ByDomain("zeta.example") == nil {
		t.Error("written in place: only the time tells; not seen")
	}
	b.must(os.WriteFile(b.config.LDIF+".new", []byte(text("teta.example")), 0o644))
	b.must(os.Chtimes(b.config.LDIF+".new", when, when))
	b.must(os.Rename(b.config.LDIF+".new", b.config.LDIF))
	if b.current().Directory.ByDomain("teta.example") == nil {
		t.Error("another file with the same time: only the inode tells; not seen")
	}
}

// Cases IN-08 and IN-09, RFC 6109 section 4.5: a bad new version never takes the place of a good one, and is told once.
func TestBadNewDirectoryIsRefused(t *testing.T) {
	tests := []struct {
		name  string
		spoil func(b *bench, good string)
		want  string
	}{
		{"missing", func(b *bench, _ string) { b.must(os.Remove(b.config.LDIF)) }, "no such file"},
		{"empty", func(b *bench, _ string) { b.put(b.config.LDIF, "") }, "no provider"},
		{"cut short", func(b *bench, good string) { b.put(b.config.LDIF, good[:len(good)/2]) }, "cut short"},
		{"domain of another", func(b *bench, good string) {
			b.put(b.config.LDIF, good+"dn: providerName=G,o=postacert\nobjectclass: provider\nmanagedDomains: beta.example\n")
		}, "beta.example is claimed twice"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := newBench(t)
			b.open()
			good := write(t, b.pki.providers())
			test.spoil(b, good)
			for range 3 {
				if b.current().Directory.ByDomain("beta.example") == nil {
					t.Fatal("the old directory is gone")
				}
			}
			if !strings.Contains(b.logged.String(), test.want) {
				t.Errorf("logged %s, want %q", b.logged.String(), test.want)
			}
			b.wantLogged("level=ERROR", 1)
			b.put(b.config.LDIF, strings.ReplaceAll(good, "beta.example", "zeta.example"))
			if b.current().Directory.ByDomain("zeta.example") == nil {
				t.Error("a good version after it was not taken")
			}
		})
	}
}

func TestShrunkenDirectory(t *testing.T) {
	tests := []struct {
		name string
		left int
		want int
	}{
		{"IN-09 nine of ten lost", 2, 20},
		{"a little less", 3, 3},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := newBench(t)
			many := b.manyProviders(20)
			b.put(b.config.LDIF, write(t, many))
			b.open()
			b.put(b.config.LDIF, write(t, many[:test.left]))
			if got := len(b.source.Providers()); got != test.want {
				t.Errorf("%d providers, want %d:\n%s", got, test.want, b.logged.String())
			}
		})
	}
}

func (b *bench) manyProviders(n int) []*pec.Provider {
	var providers []*pec.Provider
	for i := range n {
		providers = append(providers, &pec.Provider{
			Name: fmt.Sprint("Provider ", i), Certificates: []*x509.Certificate{b.pki.alfa},
			MailReceipt: "r@alfa.example", Domains: []string{fmt.Sprintf("d%d.example", i)},
		})
	}
	return providers
}

// TestFaultsAndMovesAreLogged: IN-08, a domain that moves to another provider is told.
func TestFaultsAndMovesAreLogged(t *testing.T) {
	b := newBench(t)
	b.open()
	providers := b.pki.providers()
	providers[0].Domains, providers[2].Domains = providers[2].Domains, providers[0].Domains
	text := write(t, providers)
	b.put(b.config.LDIF, text+"dn: providerName=G,o=postacert\nobjectclass: provider\n")
	b.current()
	for _, want := range []string{
		fmt.Sprintf("line=%d ", strings.Count(text, "\n")+1),
		`dn="providerName=G,o=postacert" error="record left out: providerName is missing"`,
		`domains=2 one=`, `from="Alfa S.p.A." to=Beta`,
		`domains=1 one=beta.example from=Beta to="Alfa S.p.A."`,
	} {
		if !strings.Contains(b.logged.String(), want) {
			t.Errorf("logged %s, want %q", b.logged.String(), want)
		}
	}
}

func TestAuthorities(t *testing.T) {
	b := newBench(t)
	root := func(name string) string { return filepath.Join(b.config.Roots, name) }
	b.open()
	if _, err := b.pki.alfa.Verify(x509.VerifyOptions{Roots: b.current().Roots}); err == nil {
		t.Error("an authority that is not self-signed is among the roots")
	}

	b.putCertificates("ca.pem", b.pki.other.Certificate())
	if trusts(b.current(), b.pki.alfa) {
		t.Error("a certificate is trusted after its root was taken away")
	}
	b.putCertificates("ca.pem.old", b.pki.root.Certificate(), b.pki.sub.Certificate())
	b.putCertificates(".hidden.pem", b.pki.root.Certificate(), b.pki.sub.Certificate())
	if trusts(b.current(), b.pki.alfa) {
		t.Error("files that do not count were read")
	}
	b.wantLogged("ca.pem.old passed over", 1)

	b.put(root("bad.crt"), "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"+
		"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
	b.putCertificates("leaf.pem", b.pki.alfa)
	b.putCertificates("more.crt", b.pki.root.Certificate(), b.pki.sub.Certificate())
	if !trusts(b.current(), b.pki.alfa) {
		t.Error("good authorities beside bad ones were not taken")
	}
	for _, want := range []string{"bad.crt: block 1 left out", "bad.crt: block 2 left out", "leaf.pem: block 1 left out"} {
		if !strings.Contains(b.logged.String(), want) {
			t.Errorf("logged %s, want %q", b.logged.String(), want)
		}
	}
	b.logged.Reset()

	b.must(os.RemoveAll(b.config.Roots))
	for range 3 {
		if !trusts(b.current(), b.pki.alfa) {
			t.Fatal("the old authorities are gone")
		}
	}
	b.wantLogged("new trusted authorities refused", 1)
}

// FP-29: a list that is missing is for the verification to find.
func TestRevocations(t *testing.T) {
	b := newBench(t)
	path := b.config.Revocations[0]
	b.must(os.Remove(path))
	b.open()
	for range 3 {
		if got := len(b.current().Revocations); got != 0 {
			t.Fatalf("%d revocation lists, want 0", got)
		}
	}
	b.wantLogged("revocation list left out", 1)
	for _, revoked := range []*x509.Certificate{b.pki.alfa, b.pki.beta} {
		b.put(path, b.list(b.pki.sub, revoked))
		lists := b.current().Revocations
		if len(lists) != 1 || lists[0].RevokedCertificateEntries[0].SerialNumber.Cmp(revoked.SerialNumber) != 0 {
			t.Errorf("revocation lists %v, want one with %v", lists, revoked.SerialNumber)
		}
	}
	b.wantLogged("revocation lists read again", 2)
}

func TestReadersAndAWriter(t *testing.T) {
	b := newBench(t)
	b.open()
	done := make(chan struct{})
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				trust, err := b.source.Current()
				if err != nil || trust.Directory.ByDomain("alfa.example") == nil || len(b.source.Providers()) == 0 {
					t.Errorf("Current = %v, %v", trust, err)
					return
				}
			}
		})
	}
	texts := []string{write(t, b.pki.providers()), write(t, b.pki.providers()[:1]), "broken\n"}
	for i := range 60 {
		b.put(b.config.LDIF, texts[i%len(texts)])
		b.put(b.config.Revocations[0], b.list(b.pki.sub))
	}
	close(done)
	readers.Wait()
}
