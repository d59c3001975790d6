package tsa

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/digitorus/timestamp"
)

var (
	now    = time.Now().UTC().Truncate(time.Second) // the library signs with the time that it is
	policy = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 99}
	digest = sha256.Sum256([]byte("the signature of a seal"))
)

// throwaway is a time-stamping authority that can be made to lie.
type throwaway struct {
	root, signer *x509.Certificate
	key          crypto.Signer
	change       func(*timestamp.Timestamp)
	corrupt      func([]byte) []byte
	status       int
}

// newThrowaway makes one; change changes its certificate.
func newThrowaway(t *testing.T, change func(*x509.Certificate)) *throwaway {
	t.Helper()
	rootKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	key, err2 := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err := errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	usage, err := asn1.Marshal([]asn1.ObjectIdentifier{{1, 3, 6, 1, 5, 5, 7, 3, 8}})
	if err != nil {
		t.Fatal(err)
	}
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "TSA root"}, NotBefore: now.AddDate(-1, 0, 0),
		NotAfter: now.AddDate(1, 0, 0), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "TSA"}, NotBefore: now.AddDate(0, -1, 0), NotAfter: now.AddDate(0, 1, 0),
		KeyUsage:        x509.KeyUsageDigitalSignature,
		ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 37}, Critical: true, Value: usage}},
	}
	if change != nil {
		change(leaf)
	}
	a := &throwaway{key: key, status: http.StatusOK, root: sign(t, ca, ca, rootKey.Public(), rootKey)}
	a.signer = sign(t, leaf, a.root, key.Public(), rootKey)
	return a
}

func sign(t *testing.T, template, parent *x509.Certificate, public crypto.PublicKey, by crypto.Signer) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, by)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return certificate
}

func (a *throwaway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil || a.status != http.StatusOK || r.Header.Get("Content-Type") != "application/timestamp-query" {
		http.Error(w, "no", max(a.status, http.StatusBadRequest))
		return
	}
	request, err := timestamp.ParseRequest(body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	stamp := &timestamp.Timestamp{
		HashAlgorithm: request.HashAlgorithm, HashedMessage: request.HashedMessage, Time: now, Nonce: request.Nonce, Policy: policy,
		AddTSACertificate: request.Certificates,
	}
	if a.change != nil {
		a.change(stamp)
	}
	answer, err := stamp.CreateResponseWithOpts(a.signer, a.key, crypto.SHA256)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	if a.corrupt != nil {
		answer = a.corrupt(answer)
	}
	_, _ = w.Write(answer) // who asked is gone
}

func (a *throwaway) authority(t *testing.T) *Authority {
	t.Helper()
	server := httptest.NewServer(a)
	t.Cleanup(server.Close)
	roots := x509.NewCertPool()
	roots.AddCert(a.root)
	return &Authority{URL: server.URL, Roots: roots, Timeout: time.Minute, Rand: rand.Reader}
}

func TestAsk(t *testing.T) {
	authority := newThrowaway(t, nil).authority(t)
	for _, authority.Policy = range []asn1.ObjectIdentifier{nil, policy} {
		answer, err := authority.Ask(context.Background(), digest, now.Add(30*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		stamp, err := authority.Verify(answer, digest)
		if err != nil || !stamp.Time.Equal(now) || !stamp.Policy.Equal(policy) || stamp.Signer.Subject.CommonName != "TSA" {
			t.Errorf("Verify = %+v, %v", stamp, err)
		}
		for n := range answer { // whatever byte is changed, it says no other time
			changed := bytes.Clone(answer)
			changed[n] ^= 0x55
			if stamp, err := authority.Verify(changed, digest); err == nil && !stamp.Time.Equal(now) {
				t.Errorf("with byte %d changed: %+v, want it refused", n, stamp)
			}
		}
		if _, err := authority.Verify(answer, sha256.Sum256(nil)); !errors.Is(err, ErrBadStamp) {
			t.Errorf("the stamp of something else: %v, want %v", err, ErrBadStamp)
		}
	}
}

// An authority that lies, or is none, is not believed: case OP-10.
func TestAskRefuses(t *testing.T) {
	valid := func(from, to time.Time) func(*x509.Certificate) {
		return func(c *x509.Certificate) { c.NotBefore, c.NotAfter = from, to }
	}
	withUsage := func(critical bool, usages ...asn1.ObjectIdentifier) func(*x509.Certificate) {
		return func(c *x509.Certificate) {
			c.ExtraExtensions[0].Critical = critical
			c.ExtraExtensions[0].Value, _ = asn1.Marshal(usages) // of two constants
		}
	}
	stamping, mail := asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 8}, asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 4}
	for _, c := range []struct {
		name        string
		certificate func(*x509.Certificate)
		change      func(*timestamp.Timestamp)
		prepare     func(*throwaway, *Authority)
		want        string
	}{
		{name: "another hash", change: func(s *timestamp.Timestamp) { s.HashedMessage = bytes.Repeat([]byte{1}, 32) }, want: "something else"},
		{name: "another nonce", change: func(s *timestamp.Timestamp) { s.Nonce = big.NewInt(7) }, want: "nonce"},
		{name: "no nonce", change: func(s *timestamp.Timestamp) { s.Nonce = nil }, want: "nonce"},
		{name: "a time of long ago", change: func(s *timestamp.Timestamp) { s.Time = now.Add(-2 * time.Minute) }, want: "its time"},
		{name: "a time to come", change: func(s *timestamp.Timestamp) { s.Time = now.Add(2 * time.Minute) }, want: "its time"},
		{name: "another policy", change: func(s *timestamp.Timestamp) { s.Policy = asn1.ObjectIdentifier{1, 2, 3} },
			prepare: func(_ *throwaway, a *Authority) { a.Policy = policy }, want: "policy"},
		{name: "no certificate inside", change: func(s *timestamp.Timestamp) { s.AddTSACertificate = false }, want: "certificate"},
		{name: "expired certificate", certificate: valid(now.AddDate(0, -2, 0), now.AddDate(0, -1, 0)), want: "certificate validity"},
		{name: "certificate of tomorrow", certificate: valid(now.AddDate(0, 0, 1), now.AddDate(0, 1, 0)), want: "certificate validity"},
		{name: "certificate for mail", certificate: withUsage(true, mail), want: "time stamping alone"},
		{name: "certificate for mail too", certificate: withUsage(true, stamping, mail), want: "time stamping alone"},
		{name: "usage not critical", certificate: withUsage(false, stamping), want: "time stamping alone"},
		{name: "another authority", prepare: func(_ *throwaway, a *Authority) { a.Roots = x509.NewCertPool() }, want: "unknown authority"},
		{name: "signed with another key", prepare: func(s *throwaway, _ *Authority) {
			s.key, _ = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		}, want: "verification"},
		{name: "no ASN.1", prepare: func(s *throwaway, _ *Authority) { s.corrupt = func([]byte) []byte { return []byte("<html>") } }, want: "not valid"},
		{name: "cut off", prepare: func(s *throwaway, _ *Authority) { s.corrupt = func(b []byte) []byte { return b[:len(b)/2] } }, want: "not valid"},
		{name: "nothing", prepare: func(s *throwaway, _ *Authority) { s.corrupt = func([]byte) []byte { return nil } }, want: "not valid"},
		{name: "rejection", prepare: func(s *throwaway, _ *Authority) {
			s.corrupt = func([]byte) []byte { return []byte{0x30, 5, 0x30, 3, 2, 1, 2} }
		}, want: "rejected"},
		{name: "endless", prepare: func(s *throwaway, _ *Authority) {
			s.corrupt = func([]byte) []byte { return make([]byte, maxAnswer+2) }
		}, want: "over 1048576 bytes"},
		{name: "error of the server", prepare: func(s *throwaway, _ *Authority) { s.status = 503 }, want: "503"},
		{name: "nobody there", prepare: func(_ *throwaway, a *Authority) { a.URL = "http://127.0.0.1:1/" }, want: "refused"},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := newThrowaway(t, c.certificate)
			server.change = c.change
			authority := server.authority(t)
			if c.prepare != nil {
				c.prepare(server, authority)
			}
			answer, err := authority.Ask(context.Background(), digest, now)
			if err == nil || answer != nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("Ask = %d bytes, %v, want an error with %q", len(answer), err, c.want)
			}
		})
	}
}

// An authority that hangs costs its time and no more: case OP-10.
func TestAskHangs(t *testing.T) {
	done := make(chan bool)
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-done }))
	defer server.Close()
	defer close(done)
	authority := &Authority{URL: server.URL, Roots: x509.NewCertPool(), Timeout: 100 * time.Millisecond, Rand: rand.Reader}
	if _, err := authority.Ask(context.Background(), digest, now); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Ask = %v, want %v", err, context.DeadlineExceeded)
	}
}

// The second judge: openssl takes what we take, and we take what openssl stamps.
func TestOpenSSL(t *testing.T) {
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Skip("SKIPPED, NOT TESTED: ", err)
	}
	dir := t.TempDir()
	write := func(name string, content []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	server := newThrowaway(t, nil)
	authority := server.authority(t)
	data := []byte("the signature of a seal")
	answer, err := authority.Ask(context.Background(), sha256.Sum256(data), now)
	if err != nil {
		t.Fatal(err)
	}
	encode := func(kind string, der []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}) }
	root := write("root.pem", encode("CERTIFICATE", server.root.Raw))
	openssl := func(arguments ...string) {
		t.Helper()
		command := exec.Command("openssl", arguments...)
		command.Dir = dir
		if out, err := command.CombinedOutput(); err != nil {
			t.Errorf("openssl %v: %v: %s", arguments, err, out)
		}
	}
	openssl("ts", "-verify", "-in", write("ours.tsr", answer), "-data", write("data", data), "-CAfile", root, "-attime", fmt.Sprint(now.Unix()))

	key, err := x509.MarshalPKCS8PrivateKey(server.key)
	if err != nil {
		t.Fatal(err)
	}
	write("tsa.pem", encode("CERTIFICATE", server.signer.Raw))
	write("tsa.key", encode("PRIVATE KEY", key))
	write("serial", []byte("01\n"))
	write("tsa.conf", []byte("[tsa]\ndefault_tsa=t\n[t]\nserial=serial\nsigner_cert=tsa.pem\nsigner_key=tsa.key\nsigner_digest=sha256\n"+
		"default_policy=1.3.6.1.4.1.99\ndigests=sha256\ness_cert_id_alg=sha256\n"))
	openssl("ts", "-query", "-data", "data", "-sha256", "-cert", "-out", "query")
	openssl("ts", "-reply", "-config", "tsa.conf", "-section", "t", "-queryfile", "query", "-out", "theirs.tsr")
	theirs, err := os.ReadFile(filepath.Join(dir, "theirs.tsr"))
	if err != nil {
		t.Fatal(err)
	}
	if stamp, err := authority.Verify(theirs, sha256.Sum256(data)); err != nil {
		t.Errorf("Verify of what openssl has stamped = %+v, %v, want it good", stamp, err)
	}
}
