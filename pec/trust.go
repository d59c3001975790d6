package pec

import (
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Trust is what a signature is judged by. It is a value that does not change
// while it is used.
type Trust struct {
	Directory Directory
	// Roots are all certificates of the authorities that are trusted, historic
	// ones included: an authority may have been re-issued with the same key. nil
	// trusts nobody.
	Roots         *x509.CertPool
	Intermediates *x509.CertPool // beside those inside the message; may be nil
	// Revocations are the revocation lists at hand, in any order.
	Revocations []*x509.RevocationList
	// SHA1Until is the time from which a signature with SHA-1 is refused; zero: it
	// is accepted at any time, as weak.
	SHA1Until time.Time
	// RevocationGrace is how long a list counts after its nextUpdate, while no
	// newer one can be had; 0: not at all.
	RevocationGrace time.Duration
}

// Why a signature is not a PEC provider's, or not a trusted one.
var (
	// ErrNotInDirectory: the certificate is no PEC provider's.
	ErrNotInDirectory = errors.New("certificate is not in the PEC providers directory")
	// ErrExpired: the certificate is expired, or not yet valid.
	ErrExpired = errors.New("certificate is not valid at this time")
	// ErrChain: the certificate does not lead to a trusted root.
	ErrChain = errors.New("certificate does not lead to a trusted authority")
	// ErrRevoked: the certificate, or that of an authority above it, is revoked.
	ErrRevoked = errors.New("certificate is revoked")
	// ErrRevocationUnknown: no revocation list says whether the certificate is
	// revoked. Nothing is wrong with the message: try again later.
	ErrRevocationUnknown = errors.New("no current revocation list")
)

// skew is how much another provider's clock may be ahead of ours.
const skew = time.Minute

// maxChain is the longest chain of certificates, signer and root included.
const maxChain = 5

// Provider is the PEC provider that made a signature, if at a time (that of
// arrival) everything can be trusted: the certificate is one that the directory
// lists, whole; it is valid; it leads to a root; neither it nor an authority
// above it is revoked (RFC 6109 section 2.2.2). The errors wrap
// ErrNotInDirectory, ErrExpired, ErrChain, ErrRevoked, ErrRevocationUnknown, and
// are looked for in that order: a certificate that is not in the directory
// costs no more than the search.
//
// Environments of a provider may share a certificate (RFC 6109 section 4.5.7).
// The provider is then the main one's record, with the domains of all.
func (t *Trust) Provider(sig *Signature, at time.Time) (*Provider, error) {
	v := &verifier{by: Verification{Trust: t}, strict: true}
	v.Signature, v.At = sig, at
	if trusted, _ := v.checkSigner(true); !trusted {
		return nil, v.Why
	}
	return v.listed, nil
}

// records are the directory's records that list a certificate. The hash only
// finds them: it is weak, the certificates themselves are compared.
func (t *Trust) records(c *x509.Certificate) []*Provider {
	var all []*Provider
	for _, p := range t.Directory.ByCertificateHash(CertificateHash(c.Raw)) {
		if slices.ContainsFunc(p.Certificates, c.Equal) {
			all = append(all, p)
		}
	}
	return all
}

// joinRecords makes one record of those of a provider's environments. Anybody
// may list any certificate in a record of his own: the provider is the one that
// manages the domain of the certificate's address.
func joinRecords(c *x509.Certificate, records []*Provider) *Provider {
	owner := max(slices.IndexFunc(records, func(p *Provider) bool {
		return slices.ContainsFunc(c.EmailAddresses, p.Manages)
	}), 0)
	joined := *records[owner]
	joined.Domains = nil
	for _, p := range records {
		if p.Name != joined.Name {
			continue
		}
		if p.Unit == "" {
			joined.Unit, joined.MailReceipt, joined.LocationURL = p.Unit, p.MailReceipt, p.LocationURL
		}
		joined.Domains = append(joined.Domains, p.Domains...)
	}
	return &joined
}

func checkValidity(c *x509.Certificate, at time.Time) error {
	if at.Before(c.NotBefore.Add(-skew)) || at.After(c.NotAfter) {
		return fmt.Errorf("%w: %s is valid from %s to %s", ErrExpired, describeCertificate(c),
			c.NotBefore.Format(time.RFC3339), c.NotAfter.Format(time.RFC3339))
	}
	return nil
}

// chains are the ways from the signer's certificate to a root. Name
// constraints are kept to: an authority that may certify only some mail
// domains is believed only for these.
func (t *Trust) chains(sig *Signature, at time.Time) ([][]*x509.Certificate, error) {
	if t.Roots == nil {
		return nil, fmt.Errorf("%w: no roots", ErrChain)
	}
	if at.Before(sig.Certificate.NotBefore) { // by less than skew
		at = sig.Certificate.NotBefore
	}
	chains, err := sig.Certificate.Verify(x509.VerifyOptions{
		Roots: t.Roots, Intermediates: t.intermediates(sig.Certificates), CurrentTime: at,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageEmailProtection},
	})
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrChain, describeCertificate(sig.Certificate), err)
	}
	chains = slices.DeleteFunc(chains, func(chain []*x509.Certificate) bool { return len(chain) > maxChain })
	if len(chains) == 0 {
		return nil, fmt.Errorf("%w: chain of more than %d certificates", ErrChain, maxChain)
	}
	return chains, nil
}

// intermediates adds to the known ones those that a message carries. Anybody
// could put them there: a key that costs too much is left out.
func (t *Trust) intermediates(inside []*x509.Certificate) *x509.CertPool {
	pool := x509.NewCertPool()
	if t.Intermediates != nil {
		pool = t.Intermediates.Clone()
	}
	for _, c := range inside {
		if checkKey(c.PublicKey) == nil {
			pool.AddCert(c)
		}
	}
	return pool
}

func describeCertificate(c *x509.Certificate) string {
	return fmt.Sprintf("certificate %x of %s", c.SerialNumber, c.Subject)
}
