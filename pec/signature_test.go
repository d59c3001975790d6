package pec_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pec-milter/pec-milter/internal/testpki"
	"github.com/pec-milter/pec-milter/pec"
)

// signers are certificates, with their keys, for openssl to sign with.
type signers struct {
	root, issuing *testpki.Authority
	alfa, beta    *testpki.Credential
	ecdsa         *testpki.Credential // alfa too, with a key P-256
}

const serviceAddress = "posta-certificata@pec.alfa.example"

// testSigners makes the signers once: keys take time.
var testSigners = sync.OnceValue(func() signers {
	root := must(testpki.NewRoot(testSource(), "Test root"))
	issuing := must(root.NewIntermediate("Test issuing", nil))
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	second := must(issuing.CertifyProvider("Alfa", serviceAddress, key.Public()))
	second.Key = key
	return signers{
		root, issuing,
		must(issuing.NewProvider("Alfa", serviceAddress)), must(issuing.NewProvider("Beta", "posta-certificata@pec.beta.example")), second,
	}
})

func testSource() testpki.Source { return testpki.Source{Now: time.Now(), Rand: rand.Reader} }

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// signedContent is what is signed in the tests, with CRLF.
const signedContent = "Content-Type: multipart/mixed; boundary=inner\r\n\r\n--inner\r\n\r\nIl giorno \r\n\r\n--inner\r\n" +
	"Content-Type: application/xml; name=daticert.xml\r\n\r\n<postacert/>\r\n--inner--\r\n"

// opensslSign signs with the credential by openssl cms, and gives the signature
// in the form that the arguments ask for.
func opensslSign(t testing.TB, content string, by *testpki.Credential, args ...string) []byte {
	t.Helper()
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Skip("openssl is not installed: the independent signer is missing")
	}
	chain, key := credentialFiles(t, by)
	all := append([]string{"cms", "-sign", "-binary", "-signer", chain, "-inkey", key, "-outform", "DER"}, args...)
	command := exec.Command("openssl", all...)
	command.Stdin = strings.NewReader(content)
	var complaint bytes.Buffer
	command.Stderr = &complaint
	out, err := command.Output()
	if err != nil {
		t.Fatalf("openssl %v: %v\n%s", all, err, &complaint)
	}
	return out
}

func credentialFiles(t testing.TB, c *testpki.Credential) (chain, key string) {
	t.Helper()
	dir := t.TempDir()
	chain, key = filepath.Join(dir, "chain.pem"), filepath.Join(dir, "key.pem")
	if err := c.WriteFiles(chain, key); err != nil {
		t.Fatal(err)
	}
	return chain, key
}

// signedMessage puts content and signature together as multipart/signed, with
// CRLF.
func signedMessage(content string, signature []byte) string {
	return "From: x@example.org\r\nContent-Type: multipart/signed; protocol=\"application/pkcs7-signature\"; boundary=outer\r\n\r\n" +
		"This is a signed message.\r\n--outer\r\n" + content + "\r\n--outer\r\n" +
		"Content-Type: application/pkcs7-signature; name=smime.p7s\r\nContent-Transfer-Encoding: base64\r\n\r\n" +
		wrap(base64.StdEncoding.EncodeToString(signature)) + "--outer--\r\n"
}

// indefinite writes the constructed elements of DER with indefinite lengths, down
// to a depth.
func indefinite(der []byte, depth int) []byte {
	var ber []byte
	for len(der) > 0 {
		var e asn1.RawValue
		der = must(asn1.Unmarshal(der, &e))
		if !e.IsCompound || depth == 0 {
			ber = append(ber, e.FullBytes...)
			continue
		}
		ber = append(ber, e.FullBytes[0], 0x80)
		ber = append(ber, indefinite(e.Bytes, depth-1)...)
		ber = append(ber, 0, 0)
	}
	return ber
}

func wrap(text string) string {
	var b strings.Builder
	for line := range slices.Chunk([]byte(text), 64) {
		b.Write(line)
		b.WriteString("\r\n")
	}
	return b.String()
}

func verify(t testing.TB, text string) (*pec.Signature, error) {
	t.Helper()
	return pec.VerifySignature(rawMessage(t, text), nil)
}

func TestVerifySignature(t *testing.T) {
	alfa := testSigners().alfa
	p256 := ecCredential(t, elliptic.P256())
	p521 := ecCredential(t, elliptic.P521())
	large := rsaCredential(t, 3072)
	for _, test := range []struct {
		name string
		by   *testpki.Credential
		args []string
		hash crypto.Hash
	}{
		{"SG-01 RSA", alfa, nil, crypto.SHA256},
		{"SHA-384", alfa, []string{"-md", "sha384"}, crypto.SHA384},
		{"SHA-512", alfa, []string{"-md", "sha512"}, crypto.SHA512},
		{"SG-24 SHA-1 is weak", alfa, []string{"-md", "sha1"}, crypto.SHA1},
		{"no signed attributes", alfa, []string{"-noattr"}, crypto.SHA256},
		{"no signed attributes, SHA-512", alfa, []string{"-noattr", "-md", "sha512"}, crypto.SHA512},
		{"subject key identifier", alfa, []string{"-keyid"}, crypto.SHA256},
		{"RSA-PSS", alfa, []string{"-keyopt", "rsa_padding_mode:pss"}, crypto.SHA256},
		{"RSA-PSS with salt as the digest", alfa, []string{"-keyopt", "rsa_padding_mode:pss", "-keyopt", "rsa_pss_saltlen:digest"}, crypto.SHA256},
		{"RSA-PSS, SHA-512, subject key identifier", alfa, []string{"-keyopt", "rsa_padding_mode:pss", "-md", "sha512", "-keyid"}, crypto.SHA512},
		{"RSA of 3072 bits", large, nil, crypto.SHA256},
		{"ECDSA P-256", p256, nil, crypto.SHA256},
		{"ECDSA P-521, SHA-512", p521, []string{"-md", "sha512"}, crypto.SHA512},
	} {
		t.Run(test.name, func(t *testing.T) {
			der := opensslSign(t, signedContent, test.by, test.args...)
			sig, err := verify(t, signedMessage(signedContent, der))
			if err != nil {
				t.Fatal(err)
			}
			checkSignature(t, sig, test.by, test.hash)
			if noTime := slices.Contains(test.args, "-noattr"); noTime != sig.SigningTime.IsZero() {
				t.Errorf("signing time is %v", sig.SigningTime)
			}
		})
	}
}

func checkSignature(t *testing.T, sig *pec.Signature, by *testpki.Credential, hash crypto.Hash) {
	t.Helper()
	want, err := pec.DigestSigned(strings.NewReader(signedContent))
	if err != nil {
		t.Fatal(err)
	}
	if sig.Digest != want {
		t.Errorf("digest is %x, want %x", sig.Digest, want)
	}
	if !sig.Certificate.Equal(by.Certificate()) || sig.DigestAlgorithm != hash || sig.Weak != (hash == crypto.SHA1) {
		t.Errorf("got %s, %v, weak %v; want %s, %v", sig.Certificate.Subject, sig.DigestAlgorithm, sig.Weak, by.Certificate().Subject, hash)
	}
	if len(sig.Content.Parts) != 2 || sig.Content.Parts[1].Name() != "daticert.xml" {
		t.Errorf("content is %s", outline(t, sig.Content))
	}
	if got, want := sig.Addresses(), by.Certificate().EmailAddresses; !slices.Equal(got, want) {
		t.Errorf("addresses are %q, want %q", got, want)
	}
}

func rsaCredential(t *testing.T, bits int) *testpki.Credential {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	return certify(t, key)
}

func ecCredential(t *testing.T, curve elliptic.Curve) *testpki.Credential {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return certify(t, key)
}

func certify(t *testing.T, key crypto.Signer) *testpki.Credential {
	t.Helper()
	credential, err := testSigners().issuing.CertifyProvider("Other", "other@pec.alfa.example", key.Public())
	if err != nil {
		t.Fatal(err)
	}
	credential.Key = key
	return credential
}

// TestVerifySMIME verifies what openssl writes as a whole message, with LF.
func TestVerifySMIME(t *testing.T) {
	alfa := testSigners().alfa
	for _, test := range []struct {
		name string
		args []string
	}{
		{"SG-32 LF", nil},
		{"CRLF", []string{"-crlfeol"}},
		{"other certificates inside", []string{"-certfile", certificateFile(t, testSigners().issuing.Certificate())}},
	} {
		t.Run(test.name, func(t *testing.T) {
			args := append([]string{"-outform", "SMIME"}, test.args...)
			sig, err := verify(t, string(opensslSign(t, signedContent, alfa, args...)))
			if err != nil {
				t.Fatal(err)
			}
			checkSignature(t, sig, alfa, crypto.SHA256)
			if wantOthers := len(test.args) == 2; wantOthers != (len(sig.Certificates) > 0) {
				t.Errorf("%d other certificates inside", len(sig.Certificates))
			}
		})
	}
}

func certificateFile(t *testing.T, all ...*x509.Certificate) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "certificates.pem")
	if err := testpki.WriteCertificates(path, all...); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestVerifyVariants: what relays and other providers do to a good message.
func TestVerifyVariants(t *testing.T) {
	der := opensslSign(t, signedContent, testSigners().alfa)
	good := signedMessage(signedContent, der)
	for _, test := range []struct{ name, old, new string }{
		{"as signed", "x", "x"},
		{"SG-32 LF", "\r\n", "\n"},
		{"SG-32 base64 wrapped anew, with blanks", wrap(base64.StdEncoding.EncodeToString(der)), " " + base64.StdEncoding.EncodeToString(der) + " \r\n"},
		{"SG-25 BER of indefinite length", wrap(base64.StdEncoding.EncodeToString(der)), wrap(base64.StdEncoding.EncodeToString(indefinite(der, 99)))},
		{"x-pkcs7-signature", "application/pkcs7-signature", "application/x-pkcs7-signature"},
		{"no protocol", " protocol=\"application/pkcs7-signature\";", ""},
		{"SG-24 micalg does not agree", "protocol=", "micalg=md5; protocol="},
		{"header outside changed", "From: x", "From: y"},
		{"SG-03 field added outside", "From: x", "Subject: z\r\nFrom: x"},
		{"preamble and epilogue", "This is a", "\r\nThis was a"},
	} {
		t.Run(test.name, func(t *testing.T) {
			text := strings.ReplaceAll(good, test.old, test.new)
			if !strings.Contains(good, test.old) {
				t.Fatal("the variant is no variant")
			}
			if sig, err := verify(t, text); err != nil || sig == nil {
				t.Errorf("got %v, want a good signature", err)
			}
		})
	}
}

func TestVerifyReadingFails(t *testing.T) {
	m := rawMessage(t, signedMessage(signedContent, opensslSign(t, signedContent, testSigners().alfa)))
	text := readBody(t, m.Body)
	for _, lost := range []string{"MII", "Il giorno"} { // in the signature, in the content
		body := &failingBody{Body: m.Body}
		root, err := pec.Structure(pec.Message{Header: m.Header, Body: body})
		if err != nil {
			t.Fatal(err)
		}
		body.from = int64(strings.Index(text, lost))
		body.to = body.from + 3
		_, err = pec.VerifySignature(m, root)
		if !errors.Is(err, errDisk) || errors.Is(err, pec.ErrBadSignature) || errors.Is(err, pec.ErrNotSigned) {
			t.Errorf("lost %q: got %v, want the error of reading alone", lost, err)
		}
	}
}

// failingBody cannot be read from one place to another.
type failingBody struct {
	pec.Body
	from, to int64
}

func (b *failingBody) ReadAt(p []byte, at int64) (int, error) {
	if at < b.to && at+int64(len(p)) > b.from {
		return 0, errDisk
	}
	return b.Body.ReadAt(p, at)
}

// TestOpensslAgrees: the messages of these tests are good in openssl's eyes too.
func TestOpensslAgrees(t *testing.T) {
	path := filepath.Join(t.TempDir(), "message.eml")
	text := signedMessage(signedContent, indefinite(opensslSign(t, signedContent, testSigners().alfa), 4))
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("openssl", "cms", "-verify", "-noverify", "-in", path, "-out", os.DevNull).CombinedOutput()
	if err != nil {
		t.Errorf("openssl cms -verify: %v\n%s", err, out)
	}
}
