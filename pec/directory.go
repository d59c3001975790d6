package pec

import (
	"crypto/sha1"
	"crypto/x509"
	"encoding/hex"
	"strings"
)

// Provider is one record of the PEC providers directory (RFC 6109 section
// 4.5): a provider, or one of its secondary environments.
type Provider struct {
	Name         string              // providerName
	Unit         string              // providerUnit; empty for the main environment
	Certificates []*x509.Certificate // providerCertificate
	MailReceipt  string              // mailReceipt: the address of its service mailbox
	Domains      []string            // managedDomains, lower case
	LocationURL  string              // LDIFLocationURL
}

// Manages tells whether the provider manages the domain of an address.
func (p *Provider) Manages(address string) bool {
	domain := Domain(address)
	for _, d := range p.Domains {
		if d == domain {
			return domain != ""
		}
	}
	return false
}

// Directory answers from the PEC providers directory. It is a value that does
// not change while it is used.
type Directory interface {
	// ByDomain is the provider that manages a domain; nil where none does.
	// Case does not matter.
	ByDomain(domain string) *Provider
	// ByCertificateHash are the providers that list a certificate with this
	// CertificateHash, in digits of either case. The caller compares the whole
	// certificate.
	ByCertificateHash(hash string) []*Provider
}

// CertificateHash is the providerCertificateHash of a certificate in DER (RFC 6109
// section 4.5.1): SHA-1, in hexadecimal digits of lower case. The directory is
// keyed by it, and nobody trusts it: the whole certificate is compared too.
func CertificateHash(der []byte) string {
	sum := sha1.Sum(der)
	return hex.EncodeToString(sum[:])
}

// Domain is the domain of an address in lower case; empty where the address
// has none.
func Domain(address string) string {
	at := strings.LastIndexByte(address, '@')
	if at < 0 {
		return ""
	}
	return strings.ToLower(address[at+1:])
}

// FindProvider is the provider whose record lists a certificate, with the
// domains of all its environments; nil where none does. It says nothing of the
// certificate's validity: that is for Trust.
func FindProvider(d Directory, c *x509.Certificate) *Provider {
	records := (&Trust{Directory: d}).records(c)
	if len(records) == 0 {
		return nil
	}
	return joinRecords(c, records)
}
