package pec

import (
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"
)

// ErrWeakDigest means that a signature uses SHA-1 at a time at which that is no
// longer accepted (Trust.SHA1Until).
var ErrWeakDigest = errors.New("digest algorithm SHA-1 is no longer accepted")

// checkDigest: SHA-1 is weak, and from a date on nothing.
func (v *verifier) checkDigest() bool {
	s, until := v.Signature, v.by.Trust.SHA1Until
	switch {
	case !s.Weak:
		v.passed(StepDigest, s.DigestAlgorithm.String())
	case !until.IsZero() && !v.At.Before(until):
		v.failed(StepDigest, "untrusted", fmt.Errorf("%w: since %s", ErrWeakDigest, until.Format(time.RFC3339)))
		return false
	default:
		v.warned(StepDigest, s.DigestAlgorithm.String()+" is weak")
	}
	return true
}

// checkSigner: who signed is a PEC provider, and everything of its certificate
// can be trusted. so far tells whether that is so up to here. The error is one
// that says nothing about the message.
func (v *verifier) checkSigner(soFar bool) (trusted bool, err error) {
	v.checkProfile()
	listed := v.checkDirectory()
	if v.strict && !listed || !v.checkValidity() || !v.checkChain() {
		return false, nil
	}
	good, err := v.checkRevocation()
	return soFar && listed && good, err
}

// checkProfile warns of a certificate that is not as RFC 6109 section 5.5.2 has
// it: peers have had such ones, and they are in the directory.
func (v *verifier) checkProfile() {
	if odd := Deviations(v.Signature.Certificate); len(odd) > 0 {
		v.warned(StepCertificate, strings.Join(odd, "; "))
	} else {
		v.passed(StepCertificate, "the profile of RFC 6109 section 5.5.2")
	}
	v.about(StepCertificate, v.Signature.Certificate)
}

// checkDirectory finds the provider whose certificate it is, the whole of it.
func (v *verifier) checkDirectory() bool {
	certificate := v.Signature.Certificate
	if v.by.Trust.Directory == nil && !v.strict {
		v.notMade(StepDirectory, "no providers directory was given: who signed may be no PEC provider at all")
		return true
	}
	var records []*Provider
	if v.by.Trust.Directory != nil {
		records = v.by.Trust.records(certificate)
	}
	if len(records) == 0 {
		v.failed(StepDirectory, "untrusted", fmt.Errorf("%w: %s", ErrNotInDirectory, describeCertificate(certificate)))
		return false
	}
	v.listed = joinRecords(certificate, records)
	v.passed(StepDirectory, v.listed.Name)
	v.about(StepDirectory, certificate)
	return true
}

func (v *verifier) checkValidity() bool {
	certificate := v.Signature.Certificate
	if err := checkValidity(certificate, v.At); err != nil {
		v.failed(StepValidity, "untrusted", err)
		return false
	}
	v.passed(StepValidity, fmt.Sprintf("valid at %s (from %s to %s)", v.At.Format(time.RFC3339),
		certificate.NotBefore.Format(time.DateOnly), certificate.NotAfter.Format(time.DateOnly)))
	v.about(StepValidity, certificate)
	return true
}

func (v *verifier) checkChain() bool {
	var err error
	if v.chains, err = v.by.Trust.chains(v.Signature, v.At); err != nil {
		v.failed(StepChain, "untrusted", err)
		return false
	}
	chain := v.chains[0]
	var names []string
	for _, c := range chain[1:] {
		names = append(names, c.Subject.String())
	}
	v.passed(StepChain, "issued by "+strings.Join(names, ", by "))
	v.about(StepChain, chain[len(chain)-1])
	return true
}

// checkRevocation looks into the lists of the time that counts. The error wraps
// ErrRevocationUnknown.
func (v *verifier) checkRevocation() (good bool, err error) {
	err = v.by.Trust.checkRevocation(v.chains, v.At)
	switch {
	case err == nil:
		v.passed(StepRevocation, "not revoked at "+v.At.Format(time.RFC3339))
		return true, nil
	case v.strict || !errors.Is(err, ErrRevocationUnknown):
		v.failed(StepRevocation, "untrusted", err)
		if errors.Is(err, ErrRevocationUnknown) {
			return false, err
		}
		return false, nil
	}
	return v.checkRevocationNow(err), nil
}

// checkRevocationNow is for archived messages: where there is no list of that time
// the present one may still tell. unknown is why the other does not.
func (v *verifier) checkRevocationNow(unknown error) bool {
	err := v.by.Trust.checkRevocation(v.chains, v.by.Now)
	var revoked *RevokedError
	switch {
	case errors.As(err, &revoked) && revoked.At.After(v.At):
		v.warned(StepRevocation, fmt.Sprintf("revoked later, on %s: whoever has had the key since can set the date back", revoked.At.Format(time.RFC3339)))
		return true
	case errors.As(err, &revoked):
		v.failed(StepRevocation, "untrusted", err)
		return false
	case err == nil && !expired(v.chains, v.by.Now):
		v.passed(StepRevocation, "not revoked at "+v.by.Now.Format(time.RFC3339))
		return true
	case v.by.WithoutLists:
		v.notMade(StepRevocation, unknown.Error())
		return true
	}
	v.failed(StepRevocation, "untrusted", unknown)
	return false
}

// expired tells whether a certificate below the root is expired, in any chain:
// revocation lists no longer tell of it then.
func expired(chains [][]*x509.Certificate, now time.Time) bool {
	for _, chain := range chains {
		for _, c := range chain[:len(chain)-1] {
			if now.After(c.NotAfter) {
				return true
			}
		}
	}
	return false
}

// RevokedError tells which certificate is revoked, and since when. It is an
// ErrRevoked.
type RevokedError struct {
	Certificate *x509.Certificate
	At          time.Time // of the revocation
}

// Error says which and when.
func (e *RevokedError) Error() string {
	return fmt.Sprintf("%v: %s, on %s", ErrRevoked, describeCertificate(e.Certificate), e.At.Format(time.RFC3339))
}

// Is tells errors.Is that it is an ErrRevoked.
func (e *RevokedError) Is(target error) bool { return target == ErrRevoked }
