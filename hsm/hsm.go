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
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"

	"github.com/pec-milter/pec-milter/internal/point"
)

// Signer is a provider's key with its certificates, and those that it had before.
// It is safe for concurrent use; its zero value has no key.
type Signer struct {
	source *source

	mu          sync.Mutex
	credentials []point.Credential // the first signs
	read        [sha256.Size]byte  // the files that they came from
	refused     bool               // files that were read since could not be used
}

// Current is the key to sign with, and its chain: the signing certificate
// first, then the intermediates in the order of the certificate file.
func (s *Signer) Current() (crypto.Signer, []*x509.Certificate, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.credentials) == 0 {
		return nil, nil, fmt.Errorf("no signing key is open")
	}
	return s.credentials[0].Key, slices.Clone(s.credentials[0].Chain), nil
}

// Earlier are the keys and chains that the certificate file has behind the
// current one, in its order.
func (s *Signer) Earlier() []point.Credential {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.credentials[min(1, len(s.credentials)):])
}

// Refresh reads the files again if they have changed, or could not be used the
// last time. What cannot be used, or is not accepted, is an error, and the old
// certificate and key stay; accept gets the new chain. changed tells that there
// are new ones.
func (s *Signer) Refresh(accept func(chain []*x509.Certificate) error) (changed bool, err error) {
	read, err := s.source.digest()
	s.mu.Lock()
	unchanged := err == nil && read == s.read && !s.refused
	s.mu.Unlock()
	if unchanged {
		return false, nil
	}
	var credentials []point.Credential
	if err == nil {
		credentials, err = s.source.load()
	}
	if err == nil {
		err = accept(credentials[0].Chain)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refused = err != nil; err != nil {
		return false, err
	}
	s.read, s.credentials = read, credentials
	return true, nil
}

// Probe has every token sign, so that a session that nobody uses is not cut for that,
// and one that is dead is told to the log before a message needs it. It takes as long
// as the timeout at most. A key file needs none.
func (s *Signer) Probe() {
	key, _, err := s.Current()
	if err == nil && s.source.probe != nil {
		s.source.probe(key.Public())
	}
}

// Close ends the session with the token, if there is one. It waits for
// signatures under way, but no longer than the token's timeout.
func (s *Signer) Close() error {
	if s.source == nil || s.source.close == nil {
		return nil
	}
	return s.source.close()
}

// OpenFile reads keys and certificates from PEM files. The key file holds RSA or
// EC keys, not encrypted, in PKCS#8, PKCS#1 or SEC 1 form, and must not be
// accessible to other users. The certificate file holds the signing certificate
// first, then its intermediates; behind them may stand earlier signing
// certificates, each with its intermediates. The first must have its key; an
// earlier one without is told to log and left out.
func OpenFile(certificateFile, keyFile string, log *slog.Logger) (*Signer, error) {
	return openSigner(&source{
		certificateFile: certificateFile, keyFile: keyFile, log: log,
		find: func(public crypto.PublicKey) (crypto.Signer, error) { return findInFile(keyFile, public) },
	})
}

func openSigner(s *source) (*Signer, error) {
	signer := &Signer{source: s}
	_, err := signer.Refresh(func([]*x509.Certificate) error { return nil })
	if err != nil {
		return nil, errors.Join(err, signer.Close())
	}
	return signer, nil
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
