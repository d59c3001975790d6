package pec

import (
	"crypto/x509"
	"errors"
	"time"
)

// Report is what was checked of a message, step by step, and what came of it.
type Report struct {
	Classification
	// At is the time at which the signer's certificate was judged.
	At time.Time
	// Checks are all steps in their order, those included that were not made.
	Checks []Check
}

// Genuine tells whether no check failed. What was not made does not count: see
// Verification for what that can be. Genuine is less than Correct in one thing:
// an anomaly envelope that a provider made is genuine, though no PEC message and
// without certification data.
func (r *Report) Genuine() bool {
	for _, c := range r.Checks {
		if c.Result == Failed {
			return false
		}
	}
	return r.Signature != nil
}

// Check is the check of a step.
func (r *Report) Check(step Step) Check {
	for _, c := range r.Checks {
		if c.Step == step {
			return c
		}
	}
	return Check{Step: step, Result: NotMade}
}

// Verification is how a message is verified that may have come long ago, by
// whoever has it now. A provider's door uses Classify, which leaves nothing out.
type Verification struct {
	// Trust is what the signer is judged by. Without a Directory that check is
	// not made and does not count; without Roots no chain is good.
	Trust *Trust
	// Now is the time of the verification.
	Now time.Time
	// At is the time at which the certificate is judged; zero: Now.
	At time.Time
	// AtSigning judges it at the time at which the signer says that it signed, for
	// archived messages; where it does not say, at that of the certification data,
	// and else at At.
	AtSigning bool
	// WithoutLists: where no revocation list tells of the certificate, the check
	// is not made and does not count. Else it fails.
	WithoutLists bool
	// Root is what Structure gave for the message; nil to have it read.
	Root *Part
	// Bare: the message is a part of another, without the header fields of PEC,
	// as a mailing list leaves it: they are not compared.
	Bare bool
}

// Verify makes all checks of a message that can be made, by the same steps as
// Classify, and tells of each how it ended. The error is one of reading, never
// that the message is bad. Memory does not grow with the message.
func Verify(m Message, by Verification) (*Report, error) {
	if by.Trust == nil {
		by.Trust = &Trust{}
	}
	if by.At.IsZero() {
		by.At = by.Now
	}
	v := &verifier{message: m, by: by}
	err := v.run()
	v.complete()
	return &v.Report, err
}

// Classify tells what a message is, by its structure: the signature's
// existence, validity and origin, then the form (RFC 6109 section 2.2.2). at is
// the time of arrival. An error means that it cannot be told now
// (ErrRevocationUnknown, or the body cannot be read), never that the message is
// bad.
func Classify(m Message, trust *Trust, at time.Time) (*Classification, error) {
	v := &verifier{message: m, by: Verification{Trust: trust, Now: at, At: at}, strict: true}
	err := v.run()
	return &v.Classification, err
}

// verifier goes through the steps of a verification.
type verifier struct {
	Report
	message Message
	by      Verification
	// strict: nothing is left out, and the first thing that is wrong with the
	// signer ends it.
	strict bool
	// listed is the provider that the directory has for the certificate, whether
	// or not the certificate can be trusted; nil where it has none.
	listed *Provider
	chains [][]*x509.Certificate
}

func (v *verifier) run() error {
	v.Kind = declaredKind(v.message.Header)
	if err := v.checkSignature(); err != nil || v.Signature == nil {
		return err
	}
	v.At = v.time()
	trusted, err := v.checkDigest(), error(nil)
	if trusted || !v.strict {
		trusted, err = v.checkSigner(trusted)
	}
	if trusted {
		v.Provider = v.listed
	}
	if trusted || !v.strict {
		err = errors.Join(err, v.checkForm())
	}
	return err
}

// time is when the certificate is judged.
func (v *verifier) time() time.Time {
	if !v.by.AtSigning {
		return v.by.At
	}
	if !v.Signature.SigningTime.IsZero() {
		return v.Signature.SigningTime
	}
	if data, _, err := Parts(v.Signature); err == nil {
		return data.Time
	}
	return v.by.At
}

// checkSignature reads the structure and verifies the value of the signature.
func (v *verifier) checkSignature() error {
	root, err := v.by.Root, error(nil)
	if root == nil {
		root, err = Structure(v.message)
	}
	if err == nil {
		v.passed(StepStructure, "every reader sees the same parts")
		v.Signature, err = VerifySignature(v.message, root)
	}
	switch {
	case err == nil:
		v.passed(StepSignature, v.Signature.Algorithm.String()+" by "+describeCertificate(v.Signature.Certificate))
		v.about(StepSignature, v.Signature.Certificate)
	case errors.Is(err, ErrNotSigned):
		v.failed(StepSignature, "not-signed", err)
	case errors.Is(err, ErrBadSignature):
		v.failed(StepSignature, "untrusted", err)
	case errors.Is(err, ErrStructure):
		v.failed(StepStructure, "form", err)
	default:
		return err
	}
	return nil
}
