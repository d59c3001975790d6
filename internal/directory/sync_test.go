package directory

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
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

// TestSyncForms: a signed file in every form that it may come in, and one that is
// here already.
func TestSyncForms(t *testing.T) {
	o := newOffice(t)
	p7m := o.body
	lines := base64.StdEncoding.EncodeToString(p7m)
	forms := map[string][]byte{
		"DER":            p7m,
		"PEM":            pem.EncodeToMemory(&pem.Block{Type: "PKCS7", Bytes: p7m}),
		"PEM, CMS":       pem.EncodeToMemory(&pem.Block{Type: "CMS", Bytes: p7m}),
		"base64":         []byte(lines[:64] + "\r\n" + lines[64:] + "\r\n"),
		"S/MIME":         []byte("MIME-Version: 1.0\r\nContent-Type: application/pkcs7-mime; smime-type=signed-data\r\nContent-Transfer-Encoding: base64\r\n\r\n" + lines),
		"S/MIME with LF": []byte("Content-Type: application/x-pkcs7-mime\n\n" + lines + "\n"),
	}
	for name, body := range forms {
		t.Run(name, func(t *testing.T) {
			o.body = body
			if _, err := o.syncer.Check(t.Context(), o.now); err != nil {
				t.Error(err)
			}
			path := filepath.Join(t.TempDir(), "x.p7m")
			if err := os.WriteFile(path, body, 0o600); err != nil {
				t.Fatal(err)
			}
			local := *o.syncer
			local.From = Server{URL: path}
			if report, err := local.Check(t.Context(), o.now); err != nil || report.Signer == "" {
				t.Errorf("from a file: %+v, %v", report, err)
			}
		})
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

// The signer of an authority that is trusted is trusted; one below another is not.
func TestSignersOfAnAuthority(t *testing.T) {
	o := newOffice(t)
	o.must(testpki.WriteCertificates(o.syncer.Signers, o.pki.other.Certificate()))
	o.sync()
	o.must(testpki.WriteCertificates(o.syncer.Signers, o.pki.root.Certificate(), o.pki.sub.Certificate()))
	if _, err := o.syncer.Sync(t.Context(), o.now); err == nil || !strings.Contains(err.Error(), "whom nobody trusts") {
		t.Errorf("Sync = %v, want a signer whom nobody trusts", err)
	}
	o.body = o.sign(o.pki.stranger, write(t, o.pki.providers()))
	o.sync()
	if _, err := ReadSigners(o.file("client.key")); err == nil {
		t.Error("a key passes for a certificate")
	}
	if _, err := ReadSigners(""); err == nil {
		t.Error("no file passes for signers")
	}
}

// TestOwnDomains: IN-08, our domains may have the name that they had.
func TestOwnDomains(t *testing.T) {
	ours := func(name string) *Directory {
		return newDirectory([]*pec.Provider{{Name: name, Domains: []string{"alfa.example"}}})
	}
	tests := []struct {
		name     string
		old, now *Directory
		bad      bool
	}{
		{"our name", nil, ours("ALFA"), false},
		{"another, first copy", nil, ours("Beta"), true},
		{"another", ours("Alfa"), ours("Beta"), true},
		{"known by another name before", ours("Alfa S.p.A."), ours("Alfa S.p.A."), false},
		{"back to our name", ours("Alfa S.p.A."), ours("Alfa"), false},
		{"nobody's", ours("Alfa"), newDirectory([]*pec.Provider{{Name: "Beta", Domains: []string{"beta.example"}}}), false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			err := (Own{Name: "Alfa", Domains: []string{"alfa.example"}}).check(test.old, test.now)
			if (err != nil) != test.bad {
				t.Errorf("check = %v, want an error: %v", err, test.bad)
			}
		})
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
	if got[2].Kind != RecordChanged || got[2].CertificatesAdded[0] != certificateHash(p.alfa.Raw) || got[2].CertificatesRemoved[0] != certificateHash(p.beta.Raw) {
		t.Errorf("beta: %+v", got[2])
	}
	if got[3].Kind != RecordAdded || got[3].DomainsAdded[0] != "gamma.example" {
		t.Errorf("gamma: %+v", got[3])
	}
	if same := Compare(old, newDirectory(p.providers())); len(same) != 0 {
		t.Errorf("no change: %+v", same)
	}
}

// FuzzSignedLDIF: IN-07, the text inside a signed directory is no more to be
// trusted than a plain one, nor is the file around it.
func FuzzSignedLDIF(f *testing.F) {
	p := testPKI(f)
	signer := p.office
	trusted := &Signers{pinned: []*x509.Certificate{signer.Certificate()}, authorities: x509.NewCertPool()}
	files, err := filepath.Glob("testdata/*.ldif")
	if err != nil || len(files) == 0 {
		f.Fatalf("no seeds in testdata: %v", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text, uint16(0))
	}
	f.Add([]byte(write(f, p.providers())), uint16(700))
	f.Add([]byte(signedLine+"2099-01-01T00:00:00Z\n"), uint16(1))
	f.Fuzz(func(t *testing.T, text []byte, flip uint16) {
		p7m, err := pec.SignData(text, signer.Key, signer.Chain, p.now)
		if err != nil {
			t.Fatal(err)
		}
		if at := int(flip) % len(p7m); flip > 0 {
			p7m[at] ^= 1
		}
		taken, err := trusted.open(p7m, p.now)
		if err != nil {
			if flip == 0 {
				t.Fatal(err)
			}
			return
		}
		if string(taken.ldif) != string(text) {
			t.Fatalf("opened %q, want %q", taken.ldif, text)
		}
		syncer := &Syncer{Copy: filepath.Join(t.TempDir(), "none")}
		whole := append(syncer.head(taken), taken.ldif...)
		if got := signedTime(whole); !got.Equal(taken.signed) {
			t.Errorf("the copy says it was signed on %v, want %v", got, taken.signed)
		}
		if report, err := syncer.judge(taken, whole); err == nil {
			checkDirectory(t, report.Directory)
		}
	})
}
