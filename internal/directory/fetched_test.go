package directory

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pec-milter/pec-milter/internal/testpki"
	"github.com/pec-milter/pec-milter/pec"
)

// fetchBench is a bench whose certificates name an HTTP server of its own: that
// of alfa says /sub, that of its authority /root.
type fetchBench struct {
	*bench
	signer      *pec.Signature // alfa's
	revocations *Revocations
	cache       string
	grace       time.Duration

	mu     sync.Mutex
	now    time.Time
	serve  map[string]http.HandlerFunc // by path; nil: the connection is cut
	asked  map[string]int
	server *httptest.Server
}

func newFetchBench(t *testing.T) *fetchBench {
	t.Helper()
	b := &fetchBench{bench: newBench(t), cache: t.TempDir(), serve: map[string]http.HandlerFunc{}, asked: map[string]int{}}
	b.config.Revocations = nil
	b.now = b.pki.now
	b.server = httptest.NewServer(http.HandlerFunc(b.answer))
	t.Cleanup(b.server.Close)
	sub := b.certify(b.pki.root, "/root", func(c *x509.Certificate) {
		known := b.pki.sub.Certificate()
		c.RawSubject, c.SubjectKeyId, c.EmailAddresses = known.RawSubject, known.SubjectKeyId, nil
		c.IsCA, c.BasicConstraintsValid, c.KeyUsage, c.ExtKeyUsage = true, true, known.KeyUsage, nil
	})
	alfa := b.certify(b.pki.sub, "/sub")
	b.putCertificates("ca.pem", b.pki.root.Certificate(), sub)
	b.list("alfa", alfa)
	b.signer = &pec.Signature{Certificate: alfa}
	b.serveList("/root", b.der(b.pki.root, time.Hour))
	b.serveList("/sub", b.der(b.pki.sub, time.Hour))
	b.open()
	return b
}

// certify issues a certificate, to the key of the authority below the root,
// whose revocation list is said to be at a path of the server, or at a URL.
func (b *fetchBench) certify(by *testpki.Authority, point string, changes ...testpki.Change) *x509.Certificate {
	b.Helper()
	if strings.HasPrefix(point, "/") {
		point = b.server.URL + point
	}
	changes = append(changes, func(c *x509.Certificate) { c.CRLDistributionPoints = []string{point} })
	c, err := by.CertifyProvider("alfa", "pec@alfa.example", b.pki.sub.Key.Public(), changes...)
	b.must(err)
	return c.Certificate()
}

// list writes a directory that has one provider.
func (b *fetchBench) list(name string, certificates ...*x509.Certificate) {
	b.Helper()
	b.put(b.config.LDIF, write(b.T, []*pec.Provider{{
		Name: name, Certificates: certificates, MailReceipt: "ricevute@alfa.example", Domains: []string{"alfa.example"},
	}}))
}

// open opens the source and what is kept of the lists, anew.
func (b *fetchBench) open() {
	b.Helper()
	b.bench.open()
	clock := func() time.Time { b.mu.Lock(); defer b.mu.Unlock(); return b.now }
	b.revocations = OpenRevocations(b.source, RevocationConfig{Cache: b.cache, Interval: time.Hour, Grace: b.grace}, clock, b.source.log)
}

// der is a list of an authority, of now, that holds for some time.
func (b *fetchBench) der(by *testpki.Authority, holds time.Duration, revoked ...*x509.Certificate) []byte {
	b.Helper()
	l := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: b.now, NextUpdate: b.now.Add(holds)}
	if holds < 0 {
		l.ThisUpdate = l.NextUpdate.Add(-time.Hour)
	}
	for _, c := range revoked {
		l.RevokedCertificateEntries = append(l.RevokedCertificateEntries,
			x509.RevocationListEntry{SerialNumber: c.SerialNumber, RevocationTime: b.now})
	}
	return b.sign(by, l)
}

func (b *fetchBench) sign(by *testpki.Authority, l *x509.RevocationList) []byte {
	b.Helper()
	der, err := x509.CreateRevocationList(rand.Reader, l, by.Certificate(), by.Key)
	b.must(err)
	return der
}

func (b *fetchBench) answer(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	b.asked[r.URL.Path]++
	serve := b.serve[r.URL.Path]
	b.mu.Unlock()
	if serve == nil {
		panic(http.ErrAbortHandler)
	}
	serve(w, r)
}

func (b *fetchBench) serveWith(path string, serve http.HandlerFunc) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.serve[path] = serve
}

func (b *fetchBench) serveList(path string, der []byte) {
	b.serveWith(path, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(der) })
}

// after lets some time pass, fetches what is due, and judges alfa.
func (b *fetchBench) after(d time.Duration) error {
	b.Helper()
	b.mu.Lock()
	b.now = b.now.Add(d)
	b.mu.Unlock()
	b.revocations.findPoints()
	b.revocations.fetchDue(b.Context())
	return b.judge()
}

func (b *fetchBench) judge() error {
	b.Helper()
	trust, err := b.revocations.Current()
	b.must(err)
	_, err = trust.Provider(b.signer, b.now)
	return err
}

func (b *fetchBench) want(what string, got, want error) {
	b.Helper()
	if want == nil && got != nil || !errors.Is(got, want) {
		b.Errorf("%s: %v, want %v", what, got, want)
	}
}

// SG-18, SG-19, SG-20: what becomes of a signature while the server of the lists
// comes and goes.
func TestFetchedRevocations(t *testing.T) {
	b := newFetchBench(t)
	b.grace = time.Hour
	b.open()
	b.want("nothing fetched yet", b.judge(), pec.ErrRevocationUnknown)
	b.want("fetched", b.after(0), nil)
	b.wantLogged("new revocation list", 2)

	b.serveWith("/sub", nil)
	b.want("SG-19: unreachable, the cached list counts", b.after(50*time.Minute), nil)
	b.wantLogged("revocation list not fetched: the one at hand is used until it expires", 1)
	b.want("still", b.after(5*time.Minute), nil)
	b.wantLogged("not fetched", 0)

	b.serveList("/root", b.der(b.pki.root, 9*time.Hour))
	b.want("expired, within the grace", b.after(10*time.Minute), nil)
	b.wantLogged("revocation list expired and not fetched: it is used until the grace is over", 1)
	b.want("SG-20: the grace is over", b.after(time.Hour), pec.ErrRevocationUnknown)
	b.wantLogged("no current revocation list: the mail that needs it gets 451", 1)
	b.want("still", b.after(61*time.Minute), pec.ErrRevocationUnknown)
	b.wantLogged("no current revocation list", 1)

	b.serveList("/sub", b.der(b.pki.sub, time.Hour))
	b.want("SG-20: recovered", b.after(5*time.Minute), nil)
	b.wantLogged("revocation list fetched again", 1)

	b.serveList("/sub", b.der(b.pki.sub, time.Hour, b.signer.Certificate))
	b.want("SG-18: revoked", b.after(40*time.Minute), pec.ErrRevoked)
}

// The alarm names the URL, the authority, and how old the list is.
func TestRevocationAlarmNames(t *testing.T) {
	b := newFetchBench(t)
	b.want("fetched", b.after(0), nil)
	b.serveWith("/sub", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "gone", http.StatusGone) })
	b.want("unreachable", b.after(40*time.Minute), nil)
	for _, want := range []string{b.server.URL + "/sub", `issuer="CN=PEC CA,C=IT"`, "age=40m0s", "410 Gone"} {
		if !strings.Contains(b.logged.String(), want) {
			t.Errorf("no %q in:\n%s", want, b.logged.String())
		}
	}
}

// SG-21: a list that cannot be used is as good as none, and the old one stays.
// SG-22: no server sends us to a file.
func TestSG21FetchedListRefused(t *testing.T) {
	b := newFetchBench(t)
	b.want("fetched", b.after(0), nil)
	start := b.now
	impostor, err := testpki.NewRoot(testpki.Source{Now: b.now, Rand: rand.Reader}, "", func(c *x509.Certificate) { c.RawSubject = b.pki.sub.Certificate().RawSubject })
	b.must(err)
	later := start.Add(40 * time.Minute)
	custom := func(by *testpki.Authority, this, next time.Time) []byte {
		return b.sign(by, &x509.RevocationList{Number: big.NewInt(2), ThisUpdate: this, NextUpdate: next})
	}
	good := custom(b.pki.sub, later, later.Add(time.Hour))
	inPEM := pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: good})
	for _, test := range []struct {
		name, fault string
		serve       http.HandlerFunc
	}{
		{"wrong issuer", "whose certificates do not name this place", body(custom(b.pki.root, later, later.Add(time.Hour)))},
		{"bad signature", "its signature cannot be verified", body(custom(impostor, later, later.Add(time.Hour)))},
		{"one bit changed", "verif", body(flip(good, len(good)-9))},
		{"delta", "delta list", body([]byte(b.deltaList()))},
		{"expired", "it expired on", body(custom(b.pki.sub, start, later.Add(-time.Second)))},
		{"of the future", "which is to come", body(custom(b.pki.sub, later.Add(time.Hour), later.Add(2*time.Hour)))},
		{"older", "older than the one at hand", body(custom(b.pki.sub, start.Add(-time.Second), later.Add(time.Hour)))},
		{"empty", "no revocation list that can be used", body(nil)},
		{"HTML", "no revocation list that can be used", body([]byte("<html>sign in</html>"))},
		{"cut short", "no revocation list that can be used", body(good[:len(good)-1])},
		{"two", "2 lists in it", body(append(inPEM, inPEM...))},
		{"200 MB", "larger than 20 MiB", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.CopyN(w, zeros{}, 200e6) }},
		{"not found", "404 Not Found", http.NotFound},
		{"sent to a file", "no scheme to fetch with", redirect("file:///etc/passwd")},
		{"sent round and round", "more than 3 redirections", redirect("/sub")},
		{"no answer", "EOF", nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			b.logged.Reset()
			before := b.revocations.points[b.server.URL+"/sub"]
			before.due, before.told = time.Time{}, time.Time{}
			list := before.list
			b.serveWith("/sub", test.serve)
			b.now = start
			b.want("the old list", b.after(40*time.Minute), nil)
			if before.list != list {
				t.Error("the list was taken")
			}
			if got := b.logged.String(); !strings.Contains(got, "revocation list not fetched") || !strings.Contains(got, test.fault) {
				t.Errorf("logged %q, want an alarm with %q", got, test.fault)
			}
		})
	}
}

func body(der []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(der) }
}

func redirect(to string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", to)
		w.WriteHeader(http.StatusFound)
	}
}

func flip(der []byte, at int) []byte {
	changed := bytes.Clone(der)
	changed[at] ^= 1
	return changed
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// SG-22: nobody is asked because of what a message carries, and no other schemes
// are followed, whoever lists them.
func TestSG22OnlyListedCertificates(t *testing.T) {
	b := newFetchBench(t)
	b.serveList("/attacker", b.der(b.pki.sub, time.Hour))
	attacker := b.certify(b.pki.sub, "/attacker")
	local := b.certify(b.pki.sub, "file:///etc/passwd")
	b.list("alfa", b.signer.Certificate, local, b.certify(b.pki.sub, "ldapi:///x"), b.certify(b.pki.sub, "ldap:///cn=x"))
	b.want("alfa", b.after(0), nil)
	trust, err := b.revocations.Current()
	b.must(err)
	_, err = trust.Provider(&pec.Signature{Certificate: attacker}, b.now)
	b.want("a certificate that is not listed", err, pec.ErrNotInDirectory)
	b.want("later", b.after(2*time.Minute), nil)
	b.wantLogged("passed over: nobody fetches that", 3)
	if b.asked["/attacker"] != 0 || b.asked["/sub"] != 1 || b.asked["/root"] != 1 {
		t.Errorf("asked %v, want once each for /sub and /root", b.asked)
	}
	b.list("alfa", b.signer.Certificate, attacker)
	b.want("listed from now on", b.after(time.Minute), nil)
	if b.asked["/attacker"] != 1 {
		t.Errorf("asked %v, want /attacker too", b.asked)
	}
}

// A list survives in the cache; what is wrong there is told.
func TestRevocationCache(t *testing.T) {
	b := newFetchBench(t)
	b.want("fetched", b.after(0), nil)
	for path := range b.serve {
		b.serveWith(path, nil)
	}
	b.open()
	b.want("SG-19: after a restart without the server", b.judge(), nil)
	files, err := filepath.Glob(filepath.Join(b.cache, "*"))
	if err != nil || len(files) != 2 || len(filepath.Base(files[0])) != 64+len(".crl") {
		t.Errorf("the cache has %q (%v), want two files named by hashes", files, err)
	}
	b.logged.Reset()
	b.put(b.revocations.cacheFile(b.server.URL+"/sub"), "garbage")
	b.open()
	b.want("damaged", b.judge(), pec.ErrRevocationUnknown)
	b.wantLogged("revocation list of an earlier time left out", 1)
	if got := b.revocations.Unfetched(); len(got) != 1 || got[0] != b.server.URL+"/sub" {
		t.Errorf("Unfetched() = %q, want /sub", got)
	}
	b.serveList("/sub", b.der(b.pki.sub, time.Hour))
	b.must(os.RemoveAll(b.cache))
	b.want("a cache that cannot be written", b.after(0), nil)
	b.wantLogged("revocation list not kept on the disk", 1)
}

// When a list is fetched again.
func TestRevocationSchedule(t *testing.T) {
	for _, test := range []struct{ holds, next time.Duration }{
		{7 * 24 * time.Hour, time.Hour}, {time.Hour, 30 * time.Minute}, {time.Minute, 5 * time.Minute},
	} {
		t.Run(fmt.Sprint(test.holds), func(t *testing.T) {
			b := newFetchBench(t)
			b.serveList("/sub", b.der(b.pki.sub, test.holds))
			b.want("fetched", b.after(0), nil)
			for _, step := range []struct {
				after time.Duration
				asked int
			}{{test.next - time.Second, 1}, {time.Second, 2}} {
				_ = b.after(step.after)
				if got := b.asked["/sub"]; got != step.asked {
					t.Errorf("asked %d times, want %d", got, step.asked)
				}
			}
		})
	}
}

// Without a cache nothing is fetched; files and the grace count.
func TestRevocationsFromFilesOnly(t *testing.T) {
	b := newFetchBench(t)
	b.config.Revocations = []string{filepath.Join(t.TempDir(), "a.crl"), filepath.Join(t.TempDir(), "b.crl")}
	b.put(b.config.Revocations[0], string(b.der(b.pki.sub, -time.Minute)))
	b.put(b.config.Revocations[1], string(b.der(b.pki.root, time.Hour)))
	b.cache, b.grace = "", 2*time.Minute
	b.open()
	b.revocations.Run(context.Background()) // returns
	b.want("expired, within the grace", b.judge(), nil)
	if len(b.asked) != 0 {
		t.Errorf("asked %v, want nothing", b.asked)
	}
}

// Run fetches at the start, and ends with its context.
func TestRunRevocations(t *testing.T) {
	b := newFetchBench(t)
	b.revocations.log = slog.New(slog.DiscardHandler)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); b.revocations.Run(ctx) }()
	for deadline := time.Now().Add(30 * time.Second); b.judge() != nil; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("nothing was fetched in 30 s")
		}
	}
	stop()
	<-ended
}
