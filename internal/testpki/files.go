package testpki

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
)

// WriteFiles writes the chain, in PEM, and the key, in PKCS #8 PEM that only its
// owner may read. Without a key only the chain is written.
func (c *Credential) WriteFiles(chainPath, keyPath string) error {
	if err := WriteCertificates(chainPath, c.Chain...); err != nil {
		return err
	}
	if c.Key == nil {
		return nil
	}
	return WriteKey(keyPath, c.Key)
}

// WriteCertificates writes certificates in PEM, one after the other.
func WriteCertificates(path string, certificates ...*x509.Certificate) error {
	var out bytes.Buffer
	for _, certificate := range certificates {
		if err := pem.Encode(&out, &pem.Block{Type: "CERTIFICATE", Bytes: certificate.Raw}); err != nil {
			return fmt.Errorf("encoding a certificate: %w", err)
		}
	}
	return os.WriteFile(path, out.Bytes(), 0o644)
}

// WriteKey writes a private key in PKCS #8 PEM that only its owner may read. The
// file must not exist.
func WriteKey(path string, key crypto.Signer) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("encoding a key: %w", err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(pem.Encode(f, &pem.Block{Type: "PRIVATE KEY", Bytes: der}), f.Close())
}

// WriteRevocations writes revocation lists, given in DER, in PEM.
func WriteRevocations(path string, lists ...[]byte) error {
	var out bytes.Buffer
	for _, der := range lists {
		if err := pem.Encode(&out, &pem.Block{Type: "X509 CRL", Bytes: der}); err != nil {
			return fmt.Errorf("encoding a revocation list: %w", err)
		}
	}
	return os.WriteFile(path, out.Bytes(), 0o644)
}
