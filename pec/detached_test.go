package pec_test

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pec-milter/pec-milter/internal/testpki"
	"github.com/pec-milter/pec-milter/pec"
)

func TestDetached(t *testing.T) {
	at := time.Now().UTC().Truncate(time.Second)
	ca, err := testpki.NewRoot(testpki.Source{Now: at, Rand: rand.Reader}, "Test CA")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ca.NewProvider("Alfa", "posta-certificata@alfa.example")
	if err != nil {
		t.Fatal(err)
	}
	const content = "a manifest\n" // with LF alone
	signature, err := pec.SignDetached(sha256.Sum256([]byte(content)), signer.Key, signer.Chain, at)
	again, err2 := pec.SignDetached(sha256.Sum256([]byte(content)), signer.Key, signer.Chain, at)
	if err := errors.Join(err, err2); err != nil || string(signature) != string(again) {
		t.Fatalf("signed twice: %v, the same %v", err, string(signature) == string(again))
	}
	good, err := pec.VerifyDetached(strings.NewReader(content), signature)
	if err != nil || good.Digest != sha256.Sum256([]byte(content)) || !good.SigningTime.Equal(at) || !good.Certificate.Equal(signer.Chain[0]) {
		t.Errorf("VerifyDetached = %+v, %v", good, err)
	}
	for name, c := range map[string]struct{ content, signature string }{
		"another content":   {"A manifest\n", string(signature)},
		"other line ends":   {"a manifest\r\n", string(signature)},
		"nothing":           {content, ""},
		"cut off":           {content, string(signature[:len(signature)-1])},
		"far too large":     {content, strings.Repeat("x", 2<<20)},
		"another signature": {content, string(signature[:len(signature)-1]) + "x"},
	} {
		if _, err := pec.VerifyDetached(strings.NewReader(c.content), []byte(c.signature)); !errors.Is(err, pec.ErrBadSignature) {
			t.Errorf("%s: %v, want %v", name, err, pec.ErrBadSignature)
		}
	}
	judgeByOpenSSL(t, ca, content, signature)
}

// judgeByOpenSSL is the second judge.
func judgeByOpenSSL(t *testing.T, ca *testpki.Authority, content string, signature []byte) {
	t.Helper()
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Skip("SKIPPED, NOT TESTED: ", err)
	}
	dir := t.TempDir()
	if err := errors.Join(
		os.WriteFile(filepath.Join(dir, "content"), []byte(content), 0o600),
		os.WriteFile(filepath.Join(dir, "signature"), signature, 0o600),
		testpki.WriteCertificates(filepath.Join(dir, "ca.pem"), ca.Certificate()),
	); err != nil {
		t.Fatal(err)
	}
	openssl := exec.Command("openssl", "cms", "-verify", "-binary", "-inform", "DER", "-in", "signature", "-content", "content",
		"-CAfile", "ca.pem", "-cades", "-out", "/dev/null")
	openssl.Dir = dir
	if out, err := openssl.CombinedOutput(); err != nil {
		t.Errorf("openssl cms -verify -cades: %v: %s", err, out)
	}
}

func TestCheckAuthority(t *testing.T) {
	at := time.Date(2026, 3, 30, 0, 0, 0, 0, time.UTC)
	ca, err := testpki.NewRoot(testpki.Source{Now: at, Rand: rand.Reader}, "Test CA")
	other, err2 := testpki.NewRoot(testpki.Source{Now: at, Rand: rand.Reader}, "Another CA")
	if err := errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	signer, err := ca.NewProvider("Alfa", "posta-certificata@alfa.example")
	if err != nil {
		t.Fatal(err)
	}
	signed := &pec.Signature{Certificate: signer.Certificate()}
	for _, c := range []struct {
		name string
		ca   *testpki.Authority
		at   time.Time
		want error
	}{
		{"good", ca, at, nil},
		{"another authority", other, at, pec.ErrChain},
		{"expired", ca, at.AddDate(2, 0, 0), pec.ErrExpired},
		{"not yet valid", ca, at.AddDate(0, -1, 0), pec.ErrExpired},
	} {
		trust := &pec.Trust{Roots: x509.NewCertPool()}
		trust.Roots.AddCert(c.ca.Certificate())
		if err := trust.CheckAuthority(signed, c.at); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
}
