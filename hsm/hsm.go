// Package hsm gives a PEC provider its signing key and certificates: from a
// key on a PKCS#11 token (a hardware security module) or from a key file.
//
// RFC 6109 section 5.1 recommends a dedicated hardware module for the private
// key; the key file is for trials. RSA keys under 2048 bits are refused: the
// 1024 bits of the example in section 5.5.3 are of another time.
//
// It does not judge the certificate: not its validity, its chain or its
// profile, nor whether the providers directory lists it.
package hsm

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"slices"
)

// Signer is a provider's key with its certificates. It is safe for concurrent
// use; its zero value has no key.
type Signer struct {
	key   crypto.Signer
	chain []*x509.Certificate
	close func() error
}

// Current is the key to sign with, and its chain: the signing certificate
// first, then the intermediates in the order of the certificate file.
func (s *Signer) Current() (crypto.Signer, []*x509.Certificate, error) {
	if s.key == nil {
		return nil, nil, fmt.Errorf("no signing key is open")
	}
	return s.key, slices.Clone(s.chain), nil
}

// Close ends the session with the token, if there is one. It waits for
// signatures under way, but no longer than the token's timeout.
func (s *Signer) Close() error {
	if s.close == nil {
		return nil
	}
	return s.close()
}

// OpenFile reads key and certificates from PEM files. The key file holds one
// RSA or EC key, not encrypted, in PKCS#8, PKCS#1 or SEC 1 form, and must not
// be accessible to other users; the certificate file holds the signing
// certificate first, then its intermediates. Key and signing certificate must
// belong together.
func OpenFile(certificateFile, keyFile string) (*Signer, error) {
	chain, err := readChain(certificateFile)
	if err != nil {
		return nil, err
	}
	key, err := readKey(keyFile)
	if err != nil {
		return nil, err
	}
	if !sameKey(key.Public(), chain[0].PublicKey) {
		return nil, fmt.Errorf("key file %s does not belong to the first certificate in %s (%s): the signing certificate must come first",
			keyFile, certificateFile, chain[0].Subject)
	}
	return &Signer{key: key, chain: chain}, nil
}

// readChain reads the certificates of a PEM file; the first is fit to sign.
func readChain(path string) ([]*x509.Certificate, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading certificate file: %w", err)
	}
	chain, err := parseChain(data)
	if err != nil {
		return nil, fmt.Errorf("certificate file %s: %w", path, err)
	}
	return chain, nil
}

func parseChain(data []byte) ([]*x509.Certificate, error) {
	var chain []*x509.Certificate
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d: %w", len(chain)+1, err)
		}
		chain = append(chain, certificate)
	}
	// The PEM decoder passes over what is damaged without a word.
	if begun := bytes.Count(data, []byte("-----BEGIN CERTIFICATE-----")); begun != len(chain) {
		return nil, fmt.Errorf("%d of its %d certificates are damaged: copy it again", begun-len(chain), begun)
	}
	if len(chain) == 0 {
		return nil, fmt.Errorf("no certificate in it: it must be PEM, the signing certificate first, then its intermediates")
	}
	return chain, checkPublic(chain[0].PublicKey)
}

// minRSA is the smallest RSA modulus that certifies, in bits.
const minRSA = 2048

func checkPublic(public crypto.PublicKey) error {
	switch key := public.(type) {
	case *rsa.PublicKey:
		if key.N.BitLen() < minRSA {
			return fmt.Errorf("RSA key of %d bits: at least %d are needed", key.N.BitLen(), minRSA)
		}
		return nil
	case *ecdsa.PublicKey:
		return nil
	default:
		return fmt.Errorf("key of type %T: an RSA or EC key is needed", public)
	}
}

func sameKey(a, b crypto.PublicKey) bool {
	key, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && key.Equal(b)
}
