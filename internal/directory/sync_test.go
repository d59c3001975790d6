package directory

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pec-milter/pec-milter/internal/testpki"
	"github.com/pec-milter/pec-milter/pec"
)

// office publishes the directory: it signs it, and serves it to whoever shows a
// certificate of its authority.
type office struct {
	*testing.T
	pki    *pki
	signer *testpki.Credential
	dir    string
	server *httptest.Server
	body   []byte
	// missing is how many bytes are promised, and then do not come.
	missing int
	status  int
	syncer  *Syncer
	now     time.Time
}

func newOffice(t *testing.T) *office {
	t.Helper()
	o := &office{T: t, pki: testPKI(t), dir: t.TempDir(), status: http.StatusOK}
	o.now, o.signer = o.pki.now, o.pki.office
	o.must(testpki.WriteCertificates(o.file("signers.pem"), o.signer.Certificate()))
	o.serve()
	o.syncer = &Syncer{
		Copy: o.file("copy.ldif"), Signers: o.file("signers.pem"),
		From: Server{URL: o.server.URL + "/igpec.ldif.p7m", CA: o.file("ca.pem"), Certificate: o.file("client.pem"), Key: o.file("client.key")},
		Own:  Own{Name: "Alfa S.p.A.", Domains: []string{"alfa.example", "due.alfa.example"}},
	}
	o.publish(o.pki.providers())
	return o
}

func (o *office) must(err error) {
	o.Helper()
	if err != nil {
		o.Fatal(err)
	}
}

func (o *office) file(name string) string { return filepath.Join(o.dir, name) }

// serve wants a client certificate of the other root (RFC 6109 section 5.6).
func (o *office) serve() {
	o.Helper()
	own, err := o.pki.other.NewServer([]string{"localhost"})
	o.must(err)
	client, err := o.pki.other.NewServer([]string{"client.example"})
	o.must(err)
	o.must(client.WriteFiles(o.file("client.pem"), o.file("client.key")))
	o.must(testpki.WriteCertificates(o.file("ca.pem"), o.pki.other.Certificate()))
	clients := x509.NewCertPool()
	clients.AddCert(o.pki.other.Certificate())
	o.server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", "https://127.0.0.1/elsewhere")
		w.Header().Set("Content-Length", strconv.Itoa(len(o.body)+o.missing))
		w.WriteHeader(o.status)
		_, _ = w.Write(o.body)
	}))
	o.server.TLS = &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{own.Certificate().Raw}, PrivateKey: own.Key}},
		ClientAuth:   tls.RequireAndVerifyClientCert, ClientCAs: clients,
	}
	o.server.StartTLS()
	o.Cleanup(o.server.Close)
}

// publish signs a directory and serves it.
func (o *office) publish(providers []*pec.Provider) { o.body = o.sign(o.signer, write(o, providers)) }

func (o *office) sign(by *testpki.Credential, text string) []byte {
	o.Helper()
	p7m, err := pec.SignData([]byte(text), by.Key, by.Chain, o.now)
	o.must(err)
	return p7m
}

func (o *office) sync() *Report {
	o.Helper()
	report, err := o.syncer.Sync(o.Context(), o.now)
	o.must(err)
	return report
}

func (o *office) copy() string {
	o.Helper()
	text, err := os.ReadFile(o.syncer.Copy)
	o.must(err)
	return string(text)
}

// TestSync: a signed directory is fetched by HTTPS with a client certificate, and
// the copy is what a Source reads.
func TestSync(t *testing.T) {
	o := newOffice(t)
	var last, total int64
	o.syncer.Progress = func(read, all int64) { last, total = read, all }
	report := o.sync()
	if len(report.Directory.Providers()) != 3 || len(report.Changes) != 3 || len(report.Faults) != 0 ||
		!strings.Contains(report.Signer, "AgID") || !report.Signed.Equal(o.now) {
		t.Errorf("report %+v, want three records signed by AgID now", report)
	}
	if size := int64(len(o.body)); last != size || total != size {
		t.Errorf("progress ended with %d of %d, want %d", last, total, size)
	}
	wantSame(t, mustRead(t, o.copy()), o.pki.providers())
	info, err := os.Stat(o.syncer.Copy)
	o.must(err)
	if !info.ModTime().Equal(o.now) || info.Mode().Perm() != 0o644 {
		t.Errorf("copy of %v, mode %v; want %v, 0644", info.ModTime(), info.Mode(), o.now)
	}
	o.now = o.now.Add(time.Hour)
	if report := o.sync(); len(report.Changes) != 0 {
		t.Errorf("changes %+v, want none", report.Changes)
	}
	info, err = os.Stat(o.syncer.Copy)
	o.must(err)
	if !info.ModTime().Equal(o.now) {
		t.Errorf("the copy is of %v, want %v: it was fetched again", info.ModTime(), o.now)
	}
	if left, err := filepath.Glob(o.file(".copy*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// TestSyncRefuses: IN-08 and IN-09, RFC 6109 section 4.5. What cannot be believed is
// refused, and the last good copy is kept.
func TestSyncRefuses(t *testing.T) {
	hijack := func(o *office, name, domain string) []*pec.Provider {
		return append(o.pki.providers(), &pec.Provider{Name: name, Certificates: []*x509.Certificate{o.pki.gamma},
			MailReceipt: "r@gamma.example", Domains: []string{domain}})
	}
	tests := []struct {
		name  string
		spoil func(*office)
		want  string
	}{
		{"IN-09 unsigned", func(o *office) { o.body = []byte(write(o, o.pki.providers())) }, "it is not signed"},
		{"IN-09 wrong signer", func(o *office) { o.body = o.sign(o.pki.stranger, write(o, o.pki.providers())) }, "whom nobody trusts"},
		{"IN-09 content changed", func(o *office) {
			o.body = []byte(strings.Replace(string(o.body), "beta.example", "evil.example", 1))
		}, "signature"},
		{"IN-09 signer's certificate expired", func(o *office) { o.now = o.now.AddDate(2, 0, 0) }, "valid from"},
		{"IN-09 signed in the future", func(o *office) {
			o.now = o.now.Add(time.Hour)
			o.publish(o.pki.providers())
			o.now = o.now.Add(-time.Hour)
		}, "is our clock right"},
		{"IN-09 signed before the copy: an old one", func(o *office) {
			o.now = o.now.Add(-time.Minute)
			o.publish(o.pki.providers())
			o.now = o.now.Add(time.Hour)
		}, "it is an old one"},
		{"IN-09 truncated on the way", func(o *office) { o.missing = 1 }, "unexpected EOF"},
		{"IN-09 truncated", func(o *office) { o.body = o.body[:len(o.body)/2] }, "reading ASN.1"},
		{"IN-09 truncated inside the signature", func(o *office) {
			text := write(o, o.pki.providers())
			o.body = o.sign(o.signer, text[:len(text)/2])
		}, "cut short"},
		{"IN-09 0 entries", func(o *office) {
			o.body = o.sign(o.signer, "version: 1\n\ndn: o=postacert\nobjectclass: organization\n")
		}, "no provider"},
		{"IN-09 nothing", func(o *office) { o.body = nil }, "it is not signed"},
		{"IN-09 90 % fewer entries", func(o *office) { o.publish(o.pki.providers()[:1]) }, "only 1 of 12 records are left"},
		{"IN-09 an error page", func(o *office) { o.body = []byte("<html>\n") }, "it is not signed"},
		{"IN-09 not found", func(o *office) { o.status = http.StatusNotFound }, "404 Not Found"},
		{"IN-09 sent elsewhere", func(o *office) { o.status = http.StatusFound }, "302 Found"},
		{"IN-09 signers missing", func(o *office) { o.must(os.Remove(o.syncer.Signers)) }, "no such file"},
		{"IN-09 no client certificate", func(o *office) { o.syncer.From.Certificate = "" }, "certificate required"},
		{"IN-09 another server", func(o *office) {
			o.must(testpki.WriteCertificates(o.syncer.From.CA, o.pki.root.Certificate()))
		}, "unknown authority"},
		{"IN-09 nobody there", func(o *office) { o.server.Close() }, "connection refused"},
		{"IN-08 our own domain", func(o *office) { o.publish(hijack(o, "Gamma", "due.alfa.example")[2:]) }, "our domain due.alfa.example is claimed by another provider"},
		{"IN-08 domain of another", func(o *office) {
			text := write(o, hijack(o, "Gamma", "gamma.example"))
			o.body = o.sign(o.signer, strings.Replace(text, ": gamma.example", ": beta.example", 1))
		}, "beta.example is claimed twice"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			o := newOffice(t)
			many := o.pki.providers()
			for _, c := range "abcdefghi" {
				many = append(many, &pec.Provider{Name: "P" + string(c), Certificates: []*x509.Certificate{o.pki.gamma},
					MailReceipt: "r@x.example", Domains: []string{string(c) + ".example"}})
			}
			o.publish(many)
			o.sync()
			before := o.copy()
			o.publish(many)
			test.spoil(o)
			report, err := o.syncer.Sync(t.Context(), o.now)
			if report != nil || err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("Sync = %v, %v; want an error with %q", report, err, test.want)
			}
			if o.copy() != before {
				t.Error("the copy has changed")
			}
		})
	}
}

// TestSyncForce: what an operator can have taken all the same, and what he cannot.
func TestSyncForce(t *testing.T) {
	o := newOffice(t)
	many := o.pki.providers()
	for _, c := range "abcdefghijklmnopqrstuvwxyz" {
		many = append(many, &pec.Provider{Name: "P" + string(c), Certificates: []*x509.Certificate{o.pki.gamma},
			MailReceipt: "r@x.example", Domains: []string{string(c) + ".example"}})
	}
	o.publish(many)
	o.sync()
	o.syncer.Force = true
	o.now = o.now.Add(-time.Minute)
	o.publish(o.pki.providers()[:2])
	if report := o.sync(); len(report.Changes) != 27 {
		t.Errorf("%d changes, want 27 that are gone", len(report.Changes))
	}
	o.body = []byte(write(t, o.pki.providers()))
	if _, err := o.syncer.Sync(t.Context(), o.now); !errors.Is(err, errNotSigned) {
		t.Errorf("Sync = %v, want %v", err, errNotSigned)
	}
}

// TestSyncThroughLDAP: the signed directory goes into the mirror, and another node,
// which has nothing else, takes it from there. IN-07: what is no domain is in no
// answer, whatever LDAP would make of it.
func TestSyncThroughLDAP(t *testing.T) {
	o, server := newOffice(t), slapd(t, nil)
	o.syncer.Mirror = writer(server)
	if report := o.sync(); *report.Mirror != (Mirrored{Added: 3}) {
		t.Errorf("mirror %+v, want 3 added", report.Mirror)
	}
	o.publish(o.pki.providers()[:2])
	if report := o.sync(); *report.Mirror != (Mirrored{Removed: 1}) || len(report.Changes) != 1 || report.Changes[0].Kind != RecordRemoved {
		t.Errorf("mirror %+v, changes %+v; want one removed", report.Mirror, report.Changes)
	}
	node := &Syncer{Copy: o.file("node.ldif"), From: Server{URL: server.URL}, Own: o.syncer.Own}
	report, err := node.Sync(t.Context(), o.now)
	o.must(err)
	wantSame(t, report.Directory, o.pki.providers()[:2])
	for _, domain := range evilDomains() {
		if p := report.Directory.ByDomain(domain); p != nil {
			t.Errorf("IN-07 ByDomain(%q) = %s, want none", domain, p.Name)
		}
	}
	o.must(server.End())
	if _, err := node.Sync(t.Context(), o.now); err == nil {
		t.Error("no error from a server that is down")
	}
	if _, err := o.syncer.Sync(t.Context(), o.now); !errors.Is(err, ErrMirror) {
		t.Errorf("Sync without its mirror = %v, want ErrMirror", err)
	}
	o.must(server.Begin())
}

// TestEmptyLDAP: IN-09, a mirror that was never filled is no directory.
func TestEmptyLDAP(t *testing.T) {
	server := slapd(t, nil)
	node := &Syncer{Copy: filepath.Join(t.TempDir(), "node.ldif"), From: Server{URL: server.URL}}
	if report, err := node.Sync(t.Context(), time.Now()); err == nil {
		t.Errorf("Sync = %+v, want an error", report)
	}
}

func TestSyncCannotStore(t *testing.T) {
	o := newOffice(t)
	o.syncer.Copy = o.file("none/copy.ldif")
	if _, err := o.syncer.Sync(t.Context(), o.now); err == nil || !strings.Contains(err.Error(), "storing") {
		t.Errorf("Sync = %v, want that it cannot be stored", err)
	}
}

// TestCheckFile: what a file would change, signed or not.
func TestCheckFile(t *testing.T) {
	o := newOffice(t)
	o.sync()
	put := func(name string, data []byte) string {
		o.must(os.WriteFile(o.file(name), data, 0o600))
		return o.file(name)
	}
	plain := put("new.ldif", []byte(strings.Replace(write(t, o.pki.providers()), ": beta.example", ": zeta.example", 1)))
	report, err := o.syncer.CheckFile(plain, o.now)
	o.must(err)
	if len(report.Changes) != 1 || report.Changes[0].DomainsAdded[0] != "zeta.example" || report.Changes[0].DomainsRemoved[0] != "beta.example" || report.Signer != "" {
		t.Errorf("report %+v, want zeta.example in place of beta.example", report)
	}
	signed := put("new.p7m", o.sign(o.signer, write(t, o.pki.providers())))
	if report, err := o.syncer.CheckFile(signed, o.now); err != nil || report.Signer == "" || len(report.Changes) != 0 {
		t.Errorf("CheckFile = %+v, %v; want no change", report, err)
	}
	for name, bad := range map[string][]byte{"cut.ldif": []byte("dn: x"), "cut.p7m": o.body[:100]} {
		if _, err := o.syncer.CheckFile(put(name, bad), o.now); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("CheckFile(%s) = %v, want an error that names it", name, err)
		}
	}
}
