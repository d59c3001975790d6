package hsm

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pec-milter/pec-milter/internal/testpki"
)

// renewal is a certificate and the one that takes its place, by another authority.
type renewal struct{ old, renewed *testpki.Credential }

func newRenewal(t *testing.T) renewal {
	t.Helper()
	source := testpki.Source{Now: time.Now(), Rand: rand.Reader}
	root, err := testpki.NewRoot(source, "Root")
	if err != nil {
		t.Fatal(err)
	}
	var r renewal
	for name, c := range map[string]**testpki.Credential{"Old CA": &r.old, "New CA": &r.renewed} {
		ca, err := root.NewIntermediate(name, nil)
		if err == nil {
			*c, err = ca.NewProvider("alfa", "pec@alfa.example")
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return r
}

func chainPEM(credentials ...*testpki.Credential) (all []byte) {
	for _, c := range credentials {
		for _, certificate := range c.Chain {
			all = append(all, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Raw})...)
		}
	}
	return all
}

// replace replaces a file by renaming.
func replace(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := errors.Join(os.WriteFile(path+".new", content, 0o600), os.Rename(path+".new", path)); err != nil {
		t.Fatal(err)
	}
}

// signsAs wants the key and chain of a credential to be the current ones.
func signsAs(t *testing.T, s *Signer, want *testpki.Credential) {
	t.Helper()
	checkSigns(t, s)
	if _, chain, _ := s.Current(); !slices.EqualFunc(chain, want.Chain, (*x509.Certificate).Equal) {
		t.Errorf("the chain is of %s, want that of %s", chain[len(chain)-1].Subject, want.Chain[len(want.Chain)-1].Subject)
	}
}

// earlierSigns wants one earlier credential, that signs as it did before.
func earlierSigns(t *testing.T, s *Signer, want *testpki.Credential) {
	t.Helper()
	earlier := s.Earlier()
	if len(earlier) != 1 || !slices.EqualFunc(earlier[0].Chain, want.Chain, (*x509.Certificate).Equal) {
		t.Fatalf("%d earlier credentials, want one with the old chain", len(earlier))
	}
	digest := sha256.Sum256([]byte("busta"))
	signature, err := earlier[0].Key.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	if err := rsa.VerifyPKCS1v15(want.Certificate().PublicKey.(*rsa.PublicKey), crypto.SHA256, digest[:], signature); err != nil {
		t.Error(err)
	}
}

func anything([]*x509.Certificate) error { return nil }

// TestRefreshFile: OP-08, a certificate is renewed while the daemon runs.
func TestRefreshFile(t *testing.T) {
	r := newRenewal(t)
	oldKey, newKey := identity{key: r.old.Key}.pkcs8(t), identity{key: r.renewed.Key}.pkcs8(t)
	certificate, key := write(t, "cert.pem", chainPEM(r.old)), write(t, "key.pem", oldKey)
	var log bytes.Buffer
	s, err := OpenFile(certificate, key, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	step := func(name string, accept func([]*x509.Certificate) error, changed bool, fault string, signer *testpki.Credential) {
		t.Helper()
		got, err := s.Refresh(accept)
		if got != changed || (err != nil) != (fault != "") || err != nil && !strings.Contains(err.Error(), fault) {
			t.Errorf("%s: Refresh() = %v, %v, want %v and %q", name, got, err, changed, fault)
		}
		signsAs(t, s, signer)
	}
	never := func([]*x509.Certificate) error { return errors.New("not in the directory") }
	step("nothing new", never, false, "", r.old)
	replace(t, certificate, chainPEM(r.renewed, r.old))
	step("its key is not there yet", anything, false, "the key does not belong to the first certificate", r.old)
	replace(t, key, append(bytes.Clone(oldKey), newKey...))
	step("not accepted", never, false, "not in the directory", r.old)
	step("accepted later, the files as they were", anything, true, "", r.renewed)
	earlierSigns(t, s, r.old)
	step("nothing new again", never, false, "", r.renewed)
	if err := os.Chmod(key, 0o644); err != nil {
		t.Fatal(err)
	}
	step("key open to all", anything, false, "chmod 0640", r.renewed)
	replace(t, key, newKey)
	step("the old key is gone", anything, true, "", r.renewed)
	if len(s.Earlier()) != 0 || !strings.Contains(log.String(), "earlier signing certificate left out") {
		t.Errorf("%d earlier credentials, logged %q; want none, and why", len(s.Earlier()), log.String())
	}
	if err := os.Remove(certificate); err != nil {
		t.Fatal(err)
	}
	step("no file", anything, false, "no such file", r.renewed)
	replace(t, certificate, chainPEM(r.old)[:900])
	step("half a file", anything, false, "damaged", r.renewed)
}

func TestEarlierOfTheZeroSigner(t *testing.T) {
	var zero Signer
	if got := zero.Earlier(); len(got) != 0 {
		t.Errorf("Earlier() = %v, want none", got)
	}
}
