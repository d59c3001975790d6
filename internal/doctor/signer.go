package doctor

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/pec-milter/pec-milter/pec"
)

// CheckKey signs a text of no meaning and verifies the signature with the
// certificate. nil: they belong together, and the key can sign now. An EC key in a
// file needs random bytes.
func CheckKey(key crypto.Signer, certificate *x509.Certificate, random io.Reader) error {
	text := []byte("pec-milter examines its key: this is no message")
	digest := sha256.Sum256(text)
	signature, err := key.Sign(random, digest[:], crypto.SHA256)
	if err != nil {
		return err
	}
	algorithm := x509.SHA256WithRSA
	if _, ok := certificate.PublicKey.(*ecdsa.PublicKey); ok {
		algorithm = x509.ECDSAWithSHA256
	}
	if err := certificate.CheckSignature(algorithm, text, signature); err != nil {
		return fmt.Errorf("its signature does not verify: %w", err)
	}
	return nil
}

// Signer tells whether the key signs, as CheckKey.
func Signer(key crypto.Signer, certificate *x509.Certificate, random io.Reader) Finding {
	const check = "signer"
	if err := CheckKey(key, certificate, random); err != nil {
		return bad(check, "pec-milter hsm test --config FILE, and the tools of the token's vendor", "%v", err)
	}
	return good(check, "signs, and the signature verifies")
}

// Certificate tells how long the signing certificate is valid, whether it is for
// the service address, and whether others would trust it now. chain has it
// first; trust may be nil.
func Certificate(chain []*x509.Certificate, address string, trust *pec.Trust, now time.Time) []Finding {
	return []Finding{
		judgeValidity(chain[0], now),
		judgeAddress(chain[0], address),
		judgeTrust(chain, trust, now),
	}
}

// How long before its end a certificate should be renewed: the directory has to
// reach all other providers with the new one first.
const (
	renewSoon = 60 * 24 * time.Hour
	renewNow  = 30 * 24 * time.Hour
	renewLate = 7 * 24 * time.Hour
)

func judgeValidity(c *x509.Certificate, now time.Time) Finding {
	const check = "certificate.expiry"
	const repair = "renew it: docs/operations.md, Renewing the certificate"
	until, days := c.NotAfter.UTC().Format(time.RFC3339), int(c.NotAfter.Sub(now)/(24*time.Hour))
	switch left := c.NotAfter.Sub(now); {
	case left <= 0:
		return bad(check, repair, "it expired on %s: nobody trusts what it signs", until)
	case now.Before(c.NotBefore):
		return bad(check, "wait, or correct the clock", "it is not valid before %s", c.NotBefore.UTC().Format(time.RFC3339))
	case left <= renewLate:
		return bad(check, repair, "it expires in %d days, on %s: certified mail stops then", days, until)
	case left <= renewNow:
		return bad(check, repair, "it expires in %d days, on %s: the new one must be in the directory now", days, until)
	case left <= renewSoon:
		return bad(check, repair, "it expires in %d days, on %s: order the new one", days, until)
	}
	return good(check, "valid until %s", until)
}

func judgeAddress(c *x509.Certificate, address string) Finding {
	const check = "certificate.address"
	if !pec.ContainsAddress(c.EmailAddresses, address) {
		return bad(check, "correct provider.address, or get a certificate for it",
			"it is for %v, not for %s: others would take our messages for anomalies", c.EmailAddresses, address)
	}
	return good(check, "it is for %s", address)
}

// judgeTrust judges the certificate as another provider would.
func judgeTrust(chain []*x509.Certificate, trust *pec.Trust, now time.Time) Finding {
	const check = "certificate.trust"
	if trust == nil {
		return notChecked(check, "there is no providers directory to look it up in")
	}
	provider, err := trust.Provider(&pec.Signature{Certificate: chain[0], Certificates: chain}, now)
	if err != nil {
		return bad(check, trustRepair(err), "%v: others would not trust our messages", err)
	}
	return good(check, "the providers directory has it for %s, and it leads to a trusted authority", provider.Name)
}

func trustRepair(err error) string {
	switch {
	case errors.Is(err, pec.ErrRevocationUnknown):
		return fetchLists
	case errors.Is(err, pec.ErrNotInDirectory):
		return "have the directory's keeper add it to our record, and fetch the directory again"
	case errors.Is(err, pec.ErrChain):
		return "put the certificates of its authorities into directory.roots"
	}
	return "get a new certificate"
}

// Domains tells whether the providers directory gives our domains to us.
func Domains(domains []string, chain []*x509.Certificate, trust *pec.Trust) Finding {
	const check = "directory.domains"
	var us *pec.Provider
	if trust != nil {
		us = pec.FindProvider(trust.Directory, chain[0])
	}
	if us == nil {
		return notChecked(check, "the signing certificate is not in the providers directory")
	}
	for _, domain := range domains {
		owner := trust.Directory.ByDomain(domain)
		if owner == nil || owner.Name != us.Name {
			return bad(check, "have the directory's keeper correct our record, and fetch the directory again",
				"it does not give %s to %s: others would take our messages for anomalies", domain, us.Name)
		}
	}
	return good(check, "it gives %d of ours to %s", len(domains), us.Name)
}
