package pec_test

import (
	"bytes"
	"crypto/elliptic"
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

// TestOpenSignedData: what openssl signs with the content inside is read, as are
// our own.
func TestOpenSignedData(t *testing.T) {
	s := testSigners()
	long := strings.Repeat("managedDomains: alfa.example\n", 20_000)
	tests := []struct {
		name, content string
		der           []byte
		weak          bool
	}{
		{"openssl, DER", "a: b\n", opensslSign(t, "a: b\n", s.alfa, "-nodetach"), false},
		{"openssl, BER in pieces", long, opensslSign(t, long, s.alfa, "-stream"), false},
		{"openssl, subject key identifier", "a: b\n", opensslSign(t, "a: b\n", s.alfa, "-nodetach", "-keyid"), false},
		{"openssl, without signed attributes", "a: b\n", opensslSign(t, "a: b\n", s.alfa, "-nodetach", "-noattr"), false},
		{"openssl, SHA-1", "a: b\n", opensslSign(t, "a: b\n", s.alfa, "-nodetach", "-md", "sha1"), true},
		{"ours", long, must(pec.SignData([]byte(long), s.alfa.Key, s.alfa.Chain, time.Now())), false},
		{"ours, empty", "", must(pec.SignData(nil, s.alfa.Key, s.alfa.Chain, time.Now())), false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := pec.OpenSignedData(test.der)
			if err != nil {
				t.Fatal(err)
			}
			if string(got.Content) != test.content || !got.Certificate.Equal(s.alfa.Certificate()) || got.Weak != test.weak {
				t.Errorf("got %d bytes by %s, weak %v; want %d by alfa, weak %v", len(got.Content), got.Certificate.Subject, got.Weak, len(test.content), test.weak)
			}
			if age := time.Since(got.SigningTime); !strings.Contains(test.name, "without") && (age < -time.Minute || age > time.Hour) {
				t.Errorf("signing time %v, want now", got.SigningTime)
			}
		})
	}
}

// TestSignDataOpenssl: a second judge takes what we sign, with keys of both kinds.
func TestSignDataOpenssl(t *testing.T) {
	for name, by := range map[string]*testpki.Credential{"RSA": testSigners().alfa, "ECDSA": ecCredential(t, elliptic.P256())} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "own.ldif.p7m")
			at := time.Now()
			der := must(pec.SignData([]byte("a: b\n"), by.Key, by.Chain, at))
			if err := os.WriteFile(file, der, 0o600); err != nil {
				t.Fatal(err)
			}
			command := exec.Command("openssl", "cms", "-verify", "-inform", "DER", "-in", file, "-noverify", "-binary")
			if out, err := command.Output(); err != nil || string(out) != "a: b\n" {
				t.Errorf("openssl: %v, content %q, want the content that was signed", err, out)
			}
			if again := must(pec.SignData([]byte("a: b\n"), by.Key, by.Chain, at)); !bytes.Equal(again, der) {
				t.Error("the same input gives other bytes")
			}
		})
	}
}

func TestOpenSignedDataRefuses(t *testing.T) {
	s := testSigners()
	good := must(pec.SignData([]byte("managedDomains: alfa.example\n"), s.alfa.Key, s.alfa.Chain, time.Now()))
	chain, key := credentialFiles(t, s.beta)
	tests := []struct {
		name string
		der  []byte
		want string
	}{
		{"nothing", nil, "reading ASN.1"},
		{"cut short", good[:len(good)/2], "reading ASN.1"},
		{"something behind it", append(bytes.Clone(good), 0), "after the end"},
		{"text", []byte("dn: o=postacert\n"), "reading ASN.1"},
		{"detached", opensslSign(t, "a", s.alfa), "no data inside"},
		{"other type of content", opensslSign(t, "a", s.alfa, "-nodetach", "-econtent_type", "1.2.3.4"), "no data inside"},
		{"content changed", bytes.Replace(good, []byte("alfa.example"), []byte("beta.example"), 1), "digest"},
		{"two signers", opensslSign(t, "a", s.alfa, "-nodetach", "-signer", chain, "-inkey", key), "more than one signer"},
		{"no certificate", opensslSign(t, "a", s.alfa, "-nodetach", "-nocerts"), "no certificate inside"},
		{"key exchanged", opensslSign(t, "a", s.alfa, "-nodetach", "-nocerts", "-certfile", twin(t, s.beta.Certificate().PublicKey)), "verification error"},
		{"key too short", opensslSign(t, "a", s.alfa, "-nodetach", "-nocerts", "-certfile", twin(t, rsaPublic(1024, 65537))), "RSA key of 1024 bits"},
		{"MD5", opensslSign(t, "a", s.alfa, "-nodetach", "-md", "md5"), "is not accepted"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := pec.OpenSignedData(test.der)
			if got != nil || !errors.Is(err, pec.ErrBadSignature) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, %v; want ErrBadSignature with %q", got, err, test.want)
			}
		})
	}
}

// Whatever single byte is changed: no other content passes for the one that was
// signed.
func TestSignedDataFlippedBits(t *testing.T) {
	s := testSigners()
	content := "managedDomains: alfa.example\n"
	der := must(pec.SignData([]byte(content), s.alfa.Key, s.alfa.Chain[:1], time.Now()))
	for at := range der {
		der[at] ^= 1
		if got, err := pec.OpenSignedData(der); err == nil && string(got.Content) != content {
			t.Errorf("byte %d flipped: %q passes", at, got.Content)
		}
		der[at] ^= 1
	}
}

func FuzzSignedData(f *testing.F) {
	s := testSigners()
	f.Add(must(pec.SignData([]byte("a: b\n"), s.alfa.Key, s.alfa.Chain, time.Now())))
	f.Add(opensslSign(f, "a: b\n", s.alfa, "-stream"))
	f.Fuzz(func(t *testing.T, der []byte) {
		got, err := pec.OpenSignedData(der)
		if (got == nil) == (err == nil) || err != nil && !errors.Is(err, pec.ErrBadSignature) {
			t.Errorf("got %v, %v", got, err)
		}
	})
}
