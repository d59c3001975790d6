package pec_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/pec-milter/pec-milter/pec"
)

// checkRefused wants one kind of error, and its reason.
func checkRefused(t *testing.T, text string, kind error, reason string) {
	t.Helper()
	sig, err := verify(t, text)
	if sig != nil || !errors.Is(err, kind) || !strings.Contains(err.Error(), reason) {
		t.Errorf("got %v, error %v; want %v: %s", sig, err, kind, reason)
	}
}

// TestSignatureForm: what openssl can make that is no PEC signature.
func TestSignatureForm(t *testing.T) {
	s := testSigners()
	chain, key := credentialFiles(t, s.beta)
	for _, test := range []struct {
		name   string
		args   []string
		reason string
	}{
		{"SG-09 content inside the signature", []string{"-nodetach"}, "not detached"},
		{"SG-09 content inside the signature, BER", []string{"-stream"}, "not detached"},
		{"SG-09 other type of content", []string{"-econtent_type", "1.2.3.4"}, "not detached"},
		{"SG-11 two signers", []string{"-signer", chain, "-inkey", key}, "more than one signer"},
		{"SG-13 no certificate", []string{"-nocerts"}, "no certificate inside"},
		{"SG-13 no certificate, subject key identifier", []string{"-nocerts", "-keyid"}, "no certificate inside"},
		{"SG-13 only another certificate", []string{"-nocerts", "-certfile", certificateFile(t, s.issuing.Certificate())}, "certificate is not inside"},
		{"SG-13 only another certificate of the issuer", []string{"-nocerts", "-certfile", certificateFile(t, s.beta.Certificate())}, "certificate is not inside"},
		{"SG-13 only another certificate, subject key identifier", []string{"-keyid", "-nocerts", "-certfile", certificateFile(t, s.beta.Certificate())}, "certificate is not inside"},
		{"SG-13 only another issuer's, same serial number", []string{"-nocerts", "-certfile", certificateFile(t, foreignTwin(t))}, "certificate is not inside"},
		{"SG-15 two certificates for one signer", []string{"-certfile", twin(t, s.beta.Certificate().PublicKey)}, "two certificates claim"},
		{"SG-15 certificate exchanged", []string{"-nocerts", "-certfile", twin(t, s.beta.Certificate().PublicKey)}, "verification error"},
		{"SG-23 17 certificates", []string{"-certfile", manyCertificates(t, 17)}, "too many certificates"},
		{"SG-23 RSA of 16384 bits", []string{"-nocerts", "-certfile", twin(t, rsaPublic(16384, 65537))}, "RSA key of 16384 bits"},
		{"SG-23 RSA of 1024 bits", []string{"-nocerts", "-certfile", twin(t, rsaPublic(1024, 65537))}, "RSA key of 1024 bits"},
		{"SG-23 exponent 1", []string{"-nocerts", "-certfile", twin(t, rsaPublic(2048, 1))}, "exponent 1"},
		{"ECDSA P-224", []string{"-nocerts", "-certfile", twin(t, ecCredential(t, elliptic.P224()).Key.Public())}, "ECDSA key of 224 bits"},
		{"Ed25519", []string{"-nocerts", "-certfile", twin(t, ed25519.PublicKey(make([]byte, 32)))}, "ed25519.PublicKey is not accepted"},
		{"algorithm for another kind of key", []string{"-nocerts", "-certfile", twin(t, ecCredential(t, elliptic.P256()).Key.Public())}, "does not go with"},
		{"SG-24 MD5", []string{"-md", "md5"}, "digest algorithm 1.2.840.113549.2.5 is not accepted"},
		{"RSA-PSS with two digests", []string{"-keyopt", "rsa_padding_mode:pss", "-keyopt", "rsa_mgf1_md:sha1"}, "RSASSA-PSS"},
		{"RSA-PSS with SHA-1", []string{"-md", "sha1", "-keyopt", "rsa_padding_mode:pss"}, "RSASSA-PSS"},
	} {
		t.Run(test.name, func(t *testing.T) {
			der := opensslSign(t, signedContent, s.alfa, test.args...)
			checkRefused(t, signedMessage(signedContent, der), pec.ErrBadSignature, test.reason)
		})
	}
}

// twin is a file with a certificate that has alfa's issuer, serial number and
// subject key identifier, for another key.
func twin(t *testing.T, key any) string {
	t.Helper()
	s := testSigners()
	twin, err := s.issuing.CertifyProvider("Alfa", serviceAddress, key, func(c *x509.Certificate) {
		c.SerialNumber = s.alfa.Certificate().SerialNumber
		c.SubjectKeyId = s.alfa.Certificate().SubjectKeyId
	})
	if err != nil {
		t.Fatal(err)
	}
	return certificateFile(t, twin.Certificate())
}

// foreignTwin has alfa's serial number and key, of another issuer.
func foreignTwin(t *testing.T) *x509.Certificate {
	t.Helper()
	alfa := testSigners().alfa.Certificate()
	c, err := testSigners().root.CertifyProvider("Alfa", serviceAddress, alfa.PublicKey,
		func(c *x509.Certificate) { c.SerialNumber = alfa.SerialNumber })
	if err != nil {
		t.Fatal(err)
	}
	return c.Certificate()
}

// rsaPublic is a public key that nobody has the private one of.
func rsaPublic(bits uint, exponent int) *rsa.PublicKey {
	n := new(big.Int).Lsh(big.NewInt(1), bits-1)
	return &rsa.PublicKey{N: n.Add(n, big.NewInt(1)), E: exponent}
}

func manyCertificates(t *testing.T, n int) string {
	t.Helper()
	var all []*x509.Certificate
	for range n {
		c, err := testSigners().issuing.CertifyProvider("Filler", "x@pec.alfa.example", testSigners().beta.Certificate().PublicKey)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, c.Certificate())
	}
	return certificateFile(t, all...)
}

// TestSignatureMessage: a good signature in the wrong kind of message.
func TestSignatureMessage(t *testing.T) {
	der := opensslSign(t, signedContent, testSigners().alfa)
	good := signedMessage(signedContent, der)
	_, entity, _ := strings.Cut(good, "\r\n") // without From: as a part
	opaque := "Content-Type: application/pkcs7-mime; smime-type=signed-data\r\nContent-Transfer-Encoding: base64\r\n\r\n" +
		wrap(base64.StdEncoding.EncodeToString(opensslSign(t, signedContent, testSigners().alfa, "-nodetach")))
	signature := wrap(base64.StdEncoding.EncodeToString(der))
	for _, test := range []struct {
		name, text string
		kind       error
		reason     string
	}{
		{"SG-02 word changed", strings.Replace(good, "giorno", "giomo", 1), pec.ErrBadSignature, "digest differs"},
		{"SG-02 line added", strings.Replace(good, "\r\n--outer\r\nContent-Type: application", "\r\n\r\n--outer\r\nContent-Type: application", 1), pec.ErrBadSignature, "digest differs"},
		{"SG-02 header of the content changed", strings.Replace(good, "daticert.xml", "datixert.xml", 1), pec.ErrBadSignature, "digest differs"},
		{"SG-32 trailing white space stripped", strings.Replace(good, "giorno \r\n", "giorno\r\n", 1), pec.ErrBadSignature, "digest differs"},
		{"SG-04 inside multipart/mixed", "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n" + entity + "\r\n--b--\r\n", pec.ErrNotSigned, "multipart/mixed"},
		{"SG-07 two Content-Type", "Content-Type: text/plain\r\n" + good, pec.ErrStructure, "second field Content-Type"},
		{"SG-07 two Content-Type, the other way", strings.Replace(good, "\r\n\r\n", "\r\nContent-Type: text/plain\r\n\r\n", 1), pec.ErrStructure, "second field Content-Type"},
		{"SG-08 boundary twice", strings.Replace(good, "boundary=outer", "boundary=outer; boundary=inner", 1), pec.ErrStructure, "duplicate parameter"},
		{"SG-09 opaque", opaque, pec.ErrNotSigned, "application/pkcs7-mime"},
		{"not signed", "Subject: x\r\n\r\nhello\r\n", pec.ErrNotSigned, "text/plain"},
		{"OpenPGP", strings.ReplaceAll(good, "pkcs7-signature", "pgp-signature"), pec.ErrNotSigned, "application/pgp-signature"},
		{"third part", strings.Replace(good, "--outer--", "--outer\r\n\r\nx\r\n--outer--", 1), pec.ErrBadSignature, "3 parts"},
		{"signature is missing", strings.Replace(good, "--outer\r\nContent-Type: application", "--outer--\r\nContent-Type: application", 1), pec.ErrStructure, ""},
		{"truncated", strings.TrimSuffix(good, "--outer--\r\n"), pec.ErrStructure, "not closed"},
		{"not signed-data", signedMessage(signedContent, bytes.Replace(der, []byte("\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02"), []byte("\x2a\x86\x48\x86\xf7\x0d\x01\x07\x03"), 1)), pec.ErrBadSignature, "not signed-data"},
		{"empty signature", strings.Replace(good, signature, "", 1), pec.ErrBadSignature, "longer than what holds it"},
		{"signature is no base64", strings.Replace(good, signature, "M\r\n", 1), pec.ErrBadSignature, "does not decode"},
		{"signature is no ASN.1", strings.Replace(good, signature, "QUJD\r\n", 1), pec.ErrBadSignature, "reading ASN.1"},
		{"bytes after the signature", signedMessage(signedContent, append(slices.Clone(der), 0)), pec.ErrBadSignature, "1 bytes after the end"},
		{"signature over 1 MiB", signedMessage(signedContent, make([]byte, 1<<20+1)), pec.ErrBadSignature, "it is over"},
		{"signature part over 2 MiB", strings.Replace(good, signature, strings.Repeat("*", 2<<20+1)+"\r\n", 1), pec.ErrBadSignature, "its part has"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.text == good {
				t.Fatal("the variant is no variant")
			}
			checkRefused(t, test.text, test.kind, test.reason)
		})
	}
}

// TestSG02EveryBit changes one bit of every byte of the content, and of the
// value of the signature: the last bytes of it.
func TestSG02EveryBit(t *testing.T) {
	der := opensslSign(t, signedContent, testSigners().alfa)
	for i := range len(signedContent) {
		changed := []byte(signedContent)
		changed[i] ^= 1 << (i % 7)
		if sig, _ := verify(t, signedMessage(string(changed), der)); sig != nil {
			t.Errorf("verified with byte %d of the content changed to %q", i, changed[i])
		}
	}
	for i := len(der) - 256; i < len(der); i++ {
		changed := bytes.Clone(der)
		changed[i] ^= 1 << (i % 8)
		checkRefused(t, signedMessage(signedContent, changed), pec.ErrBadSignature, "verification error")
	}
}
