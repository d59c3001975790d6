package hsm

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pec-milter/pec-milter/internal/point"
)

var _ point.Signer = (*Signer)(nil)

// quiet is a log that nobody reads.
var quiet = slog.New(slog.DiscardHandler)

// identity is a key with a self-signed certificate, in PEM.
type identity struct {
	key         crypto.Signer
	certificate []byte
}

func newIdentity(t *testing.T, key crypto.Signer, err error) identity {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "Alfa PEC"},
		NotBefore:    time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC),
		NotAfter:     time.Date(2044, 1, 1, 0, 0, 0, 0, time.UTC),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return identity{key, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}
}

func rsaIdentity(t *testing.T, bits int) identity {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, bits)
	return newIdentity(t, key, err)
}

func (i identity) pkcs8(t *testing.T) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(i.key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// write makes a file that only its owner and group can reach.
func write(t *testing.T, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, content, 0o640); err != nil {
		t.Fatal(err)
	}
	return path
}

// checkSigns makes a signature and verifies it with the chain's first
// certificate.
func checkSigns(t *testing.T, signer *Signer) {
	t.Helper()
	key, chain, err := signer.Current()
	if err != nil {
		t.Fatalf("Current() error = %v", err)
	}
	digest := sha256.Sum256([]byte("busta di trasporto"))
	signature, err := key.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		t.Fatalf("Sign() error = %v", err)
	}
	algorithm := x509.SHA256WithRSA
	if _, ok := key.Public().(*ecdsa.PublicKey); ok {
		algorithm = x509.ECDSAWithSHA256
	}
	if err := chain[0].CheckSignature(algorithm, []byte("busta di trasporto"), signature); err != nil {
		t.Errorf("signature does not verify: %v", err)
	}
}

func TestOpenFileSigns(t *testing.T) {
	rsaKey := rsaIdentity(t, 2048)
	pkcs1 := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(rsaKey.key.(*rsa.PrivateKey))})
	elliptic256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	ecKey := newIdentity(t, elliptic256, err)
	sec1, err := x509.MarshalECPrivateKey(elliptic256)
	if err != nil {
		t.Fatal(err)
	}
	parameters := pem.EncodeToMemory(&pem.Block{Type: "EC PARAMETERS", Bytes: []byte{6, 8, 42, 134, 72, 206, 61, 3, 1, 7}})
	ecFile := append(parameters, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: sec1})...)
	cases := []struct {
		name        string
		certificate []byte
		key         []byte
		chain       int
	}{
		{"RSA, PKCS#8", rsaKey.certificate, rsaKey.pkcs8(t), 1},
		{"RSA, PKCS#1", rsaKey.certificate, pkcs1, 1},
		{"EC, PKCS#8", ecKey.certificate, ecKey.pkcs8(t), 1},
		{"EC, SEC 1 after its parameters", ecKey.certificate, ecFile, 1},
		{"with an intermediate", append(bytes.Clone(rsaKey.certificate), ecKey.certificate...), rsaKey.pkcs8(t), 2},
		{"text around the certificate", append([]byte("subject=CN = Alfa PEC\n"), rsaKey.certificate...), rsaKey.pkcs8(t), 1},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			signer, err := OpenFile(write(t, "cert.pem", c.certificate), write(t, "key.pem", c.key), slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatalf("OpenFile() error = %v", err)
			}
			checkSigns(t, signer)
			if _, chain, _ := signer.Current(); len(chain) != c.chain {
				t.Errorf("Current() gives %d certificates, want %d", len(chain), c.chain)
			}
			if err := signer.Close(); err != nil {
				t.Errorf("Close() error = %v", err)
			}
		})
	}
}

func TestOpenFileRefuses(t *testing.T) {
	good, other := rsaIdentity(t, 2048), rsaIdentity(t, 2048)
	small := rsaIdentity(t, 1024)
	_, edwards, err := ed25519.GenerateKey(rand.Reader)
	odd := newIdentity(t, edwards, err)
	encrypted := pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: []byte{0x30, 0}})
	dek := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Headers: map[string]string{"DEK-Info": "AES-256-CBC,00"}, Bytes: []byte{0x30, 0}})
	damaged := bytes.Replace(good.certificate, []byte("MII"), []byte("M!I"), 1)
	cases := []struct {
		name             string
		certificate, key []byte
		want             string
	}{
		{"another's key", good.certificate, other.pkcs8(t), "does not belong to the first certificate"},
		{"intermediate first", append(bytes.Clone(other.certificate), good.certificate...), good.pkcs8(t), "must come first"},
		{"RSA of 1024 bits", small.certificate, small.pkcs8(t), "RSA key of 1024 bits: at least 2048"},
		{"Ed25519", odd.certificate, odd.pkcs8(t), "an RSA or EC key is needed"},
		{"small key, good certificate", good.certificate, small.pkcs8(t), "RSA key of 1024 bits"},
		{"encrypted PKCS#8", good.certificate, encrypted, "the key is encrypted"},
		{"encrypted PKCS#1", good.certificate, dek, "the key is encrypted"},
		{"no key", good.certificate, good.certificate, "no private key in it"},
		{"damaged key", good.certificate, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte{1}}), "key.pem: asn1"},
		{"no certificate", good.pkcs8(t), good.pkcs8(t), "no certificate in it"},
		{"second certificate damaged", append(bytes.Clone(good.certificate), damaged...), good.pkcs8(t), "1 of its 2 certificates are damaged"},
		{"certificate is no certificate", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte{1}}), good.pkcs8(t), "certificate 1: "},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, err := OpenFile(write(t, "cert.pem", c.certificate), write(t, "key.pem", c.key), slog.New(slog.DiscardHandler))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("OpenFile() error = %v, want one with %q", err, c.want)
			}
		})
	}
}

func TestOpenFileMissing(t *testing.T) {
	good := rsaIdentity(t, 2048)
	certificate, key := write(t, "cert.pem", good.certificate), write(t, "key.pem", good.pkcs8(t))
	missing := filepath.Join(t.TempDir(), "missing.pem")
	if _, err := OpenFile(missing, key, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), missing) {
		t.Errorf("OpenFile without certificate: error = %v, want one that names %s", err, missing)
	}
	if _, err := OpenFile(certificate, missing, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), missing) {
		t.Errorf("OpenFile without key: error = %v, want one that names %s", err, missing)
	}
}

func TestPrivateFileModes(t *testing.T) {
	good := rsaIdentity(t, 2048)
	certificate := write(t, "cert.pem", good.certificate)
	cases := []struct {
		mode os.FileMode
		want string // part of the error; empty: accepted
	}{
		{0o400, ""},
		{0o600, ""},
		{0o640, ""},
		{0o644, "mode 0644): chmod 0640 "},
		{0o602, "mode 0602): chmod 0600 "},
		{0o777, "mode 0777): chmod 0770 "},
	}
	for _, c := range cases {
		t.Run(c.mode.String(), func(t *testing.T) {
			key := write(t, "key.pem", good.pkcs8(t))
			if err := os.Chmod(key, c.mode); err != nil {
				t.Fatal(err)
			}
			_, err := OpenFile(certificate, key, slog.New(slog.DiscardHandler))
			if c.want == "" {
				if err != nil {
					t.Errorf("OpenFile() error = %v, want none", err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.want+key) {
				t.Errorf("OpenFile() error = %v, want one with %q", err, c.want+key)
			}
		})
	}
}

func TestZeroSigner(t *testing.T) {
	var zero Signer
	if key, _, err := zero.Current(); err == nil {
		t.Errorf("Current() of the zero value = %v, want an error", key)
	}
}
