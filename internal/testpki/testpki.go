// Package testpki makes throw-away certification authorities and what they
// issue: the signing certificates of PEC providers (RFC 6109 section 5.5), the
// TLS certificates of their servers, and revocation lists.
//
// It is for the tests and the demo, never for production: keys lie in memory
// and in plain files, and nobody is asked who he is. The certificates of a real
// provider come from the authority that the supervisor of PEC names.
//
// It reads no clock and no random numbers: both are handed to it. (Go's key
// generation may use the system's random numbers whatever it is handed.)
package testpki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"math/big"
	"net"
	"time"
)

// Source is where an authority takes its time and its random numbers from.
type Source struct {
	Now  time.Time // what is issued is valid from an hour before
	Rand io.Reader // crypto/rand.Reader
}

// Authority is a certification authority.
type Authority struct {
	Credential
	source Source
}

// Credential is a certificate with its key.
type Credential struct {
	// Chain is the certificate, then those of its issuers up to the root, which
	// is left out unless it is the certificate itself.
	Chain []*x509.Certificate
	// Key is the private key; nil where only a public key was certified.
	Key crypto.Signer
}

// Certificate is the credential's own certificate.
func (c *Credential) Certificate() *x509.Certificate { return c.Chain[0] }

// Change changes a certificate before it is signed: into a bad one, mostly.
type Change func(*x509.Certificate)

// Valid sets the time of validity.
func Valid(from, to time.Time) Change {
	return func(c *x509.Certificate) { c.NotBefore, c.NotAfter = from, to }
}

// WithoutKeyUsage leaves the key usage out.
func WithoutKeyUsage() Change {
	return func(c *x509.Certificate) { c.KeyUsage = 0 }
}

// Addresses replaces the mail addresses of the subject alternative name; none
// leaves it out.
func Addresses(addresses ...string) Change {
	return func(c *x509.Certificate) { c.EmailAddresses = addresses }
}

// NewRoot makes a root authority, valid for ten years.
func NewRoot(source Source, name string, changes ...Change) (*Authority, error) {
	key, err := newRSAKey(source)
	if err != nil {
		return nil, err
	}
	template := authorityTemplate(name)
	certificate, err := source.sign(template, template, key.Public(), key, changes)
	if err != nil {
		return nil, err
	}
	return &Authority{Credential{[]*x509.Certificate{certificate}, key}, source}, nil
}

// NewIntermediate makes an authority below this one, valid for ten years. With
// mail domains, what it issues for other domains is not valid (the name
// constraints of the authority that issues to PEC providers).
func (a *Authority) NewIntermediate(name string, mailDomains []string, changes ...Change) (*Authority, error) {
	key, err := newRSAKey(a.source)
	if err != nil {
		return nil, err
	}
	template := authorityTemplate(name)
	template.PermittedEmailAddresses = mailDomains
	template.PermittedDNSDomainsCritical = len(mailDomains) > 0 // it concerns all name constraints
	chain, err := a.issue(template, key.Public(), changes)
	if err != nil {
		return nil, err
	}
	return &Authority{Credential{chain, key}, a.source}, nil
}

// NewProvider makes a key (RSA, 2048 bits) and issues the signing certificate of
// a provider: its name as in the directory's providerName, its service address.
func (a *Authority) NewProvider(name, address string, changes ...Change) (*Credential, error) {
	key, err := newRSAKey(a.source)
	if err != nil {
		return nil, err
	}
	credential, err := a.CertifyProvider(name, address, key.Public(), changes...)
	if err != nil {
		return nil, err
	}
	credential.Key = key
	return credential, nil
}

// CertifyProvider issues the signing certificate for a key that is elsewhere, on
// a token. It has the profile of RFC 6109 section 5.5 and is valid for a year.
func (a *Authority) CertifyProvider(name, address string, key crypto.PublicKey, changes ...Change) (*Credential, error) {
	template := &x509.Certificate{
		Subject: pkix.Name{
			Country: []string{"IT"}, Organization: []string{name}, CommonName: "Posta Certificata",
		},
		EmailAddresses: []string{address},
		KeyUsage:       x509.KeyUsageDigitalSignature,
		ExtKeyUsage:    []x509.ExtKeyUsage{x509.ExtKeyUsageEmailProtection},
	}
	chain, err := a.issue(template, key, changes)
	if err != nil {
		return nil, err
	}
	return &Credential{Chain: chain}, nil
}

// NewServer makes a key (P-256) and issues the TLS certificate of a mail server
// on this machine, for the host names and 127.0.0.1, valid for a year. It
// serves as client certificate too.
func (a *Authority) NewServer(hosts []string, changes ...Change) (*Credential, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), a.source.Rand)
	if err != nil {
		return nil, fmt.Errorf("making a key: %w", err)
	}
	template := &x509.Certificate{
		Subject:     pkix.Name{CommonName: hosts[0]},
		DNSNames:    hosts,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	chain, err := a.issue(template, key.Public(), changes)
	if err != nil {
		return nil, err
	}
	return &Credential{Chain: chain, Key: key}, nil
}

// issue signs a certificate and gives it with its chain.
func (a *Authority) issue(template *x509.Certificate, key crypto.PublicKey, changes []Change) ([]*x509.Certificate, error) {
	certificate, err := a.source.sign(template, a.Certificate(), key, a.Key, changes)
	if err != nil {
		return nil, err
	}
	chain := []*x509.Certificate{certificate}
	if !a.isRoot() {
		chain = append(chain, a.Chain...)
	}
	return chain, nil
}

func (a *Authority) isRoot() bool {
	c := a.Certificate()
	return string(c.RawIssuer) == string(c.RawSubject)
}

// sign fills in what every certificate has, lets the changes loose, and signs.
func (s Source) sign(template, parent *x509.Certificate, key crypto.PublicKey, by crypto.Signer, changes []Change) (*x509.Certificate, error) {
	template.NotBefore = s.Now.Add(-time.Hour)
	template.NotAfter = s.Now.AddDate(1, 0, 0)
	if template.IsCA {
		template.NotAfter = s.Now.AddDate(10, 0, 0)
	}
	var err error
	if template.SubjectKeyId, err = keyID(key); err != nil {
		return nil, err
	}
	if template.SerialNumber, err = s.serial(); err != nil {
		return nil, err
	}
	for _, change := range changes {
		change(template)
	}
	der, err := x509.CreateCertificate(s.Rand, template, parent, key, by)
	if err != nil {
		return nil, fmt.Errorf("issuing the certificate of %s: %w", template.Subject, err)
	}
	return x509.ParseCertificate(der)
}

// serial draws a serial number of 16 octets, positive and not zero.
func (s Source) serial() (*big.Int, error) {
	octets := make([]byte, 16)
	if _, err := io.ReadFull(s.Rand, octets); err != nil {
		return nil, fmt.Errorf("drawing a serial number: %w", err)
	}
	octets[0] = octets[0]&0x7f | 0x40
	return new(big.Int).SetBytes(octets), nil
}

// keyID is the key identifier of RFC 7093 section 2, method 1.
func keyID(key crypto.PublicKey) ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return nil, fmt.Errorf("reading the public key: %w", err)
	}
	sum := sha256.Sum256(der)
	return sum[:20], nil
}

func newRSAKey(source Source) (*rsa.PrivateKey, error) {
	key, err := rsa.GenerateKey(source.Rand, 2048)
	if err != nil {
		return nil, fmt.Errorf("making a key: %w", err)
	}
	return key, nil
}

func authorityTemplate(name string) *x509.Certificate {
	return &x509.Certificate{
		Subject:               pkix.Name{Country: []string{"IT"}, CommonName: name},
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
}
