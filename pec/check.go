package pec

import (
	"cmp"
	"crypto/x509"
	"errors"
)

// Step is one thing that is checked of a message.
type Step string

// The steps of a verification, in their order.
const (
	StepStructure   Step = "structure"          // two readers see the same parts
	StepSignature   Step = "signature"          // the value of the signature, over the signed content
	StepDigest      Step = "digest"             // how strong its digest algorithm is
	StepCertificate Step = "certificate"        // the profile of RFC 6109 section 5.5.2
	StepDirectory   Step = "directory"          // the certificate is that of a PEC provider
	StepValidity    Step = "validity"           // the certificate is valid at the time
	StepChain       Step = "chain"              // it leads to a trusted authority
	StepRevocation  Step = "revocation"         // neither it nor an authority above it is revoked
	StepData        Step = "certification_data" // the certification data follow the scheme
	StepOriginal    Step = "original"           // the enclosed message is there and can be read
	StepFrom        Step = "from"               // From is the signer's address
	StepKind        Step = "kind"               // the header and the certification data name the same kind
	StepDomains     Step = "domains"            // the signer manages the domains that it speaks for
	StepHeaders     Step = "headers"            // Subject and identifiers agree with the certification data
)

// steps are all of them, in their order.
var steps = []Step{
	StepStructure, StepSignature, StepDigest, StepCertificate, StepDirectory, StepValidity, StepChain,
	StepRevocation, StepData, StepOriginal, StepFrom, StepKind, StepDomains, StepHeaders,
}

// Result is how a check ended.
type Result string

// The results of checks. Only Failed makes a message not genuine.
const (
	Passed  Result = "good"
	Warned  Result = "warning"     // nothing that proves the message false, but worth a look
	NotMade Result = "not checked" // what it needs is not there
	Failed  Result = "bad"
)

// Check is one step of a verification, and how it ended.
type Check struct {
	Step   Step
	Result Result
	// Detail is what was found, or why the check failed or was not made: one line
	// in English.
	Detail string
	// Err is why the check failed: it wraps one of the errors of this package;
	// nil unless Result is Failed.
	Err error
	// Certificate is the one that the check is about; nil where it is about none.
	Certificate *x509.Certificate
}

// note adds a check. One step may be found wrong in several ways: they become one
// check.
func (r *Report) note(c Check) {
	c.Detail = oneLine(c.Detail)
	for i := range r.Checks {
		if r.Checks[i].Step == c.Step {
			r.Checks[i] = r.Checks[i].and(c)
			return
		}
	}
	r.Checks = append(r.Checks, c)
}

// and joins two findings about one step: the worse one counts.
func (c Check) and(other Check) Check {
	worse, detail := c, c.Detail+"; "+other.Detail
	if other.Result == Failed || c.Result == Passed {
		worse = other
	}
	worse.Detail, worse.Err = detail, errors.Join(c.Err, other.Err)
	return worse
}

func (r *Report) passed(step Step, detail string) {
	r.note(Check{Step: step, Result: Passed, Detail: detail})
}

func (r *Report) warned(step Step, detail string) {
	r.note(Check{Step: step, Result: Warned, Detail: detail})
}

func (r *Report) notMade(step Step, why string) {
	r.note(Check{Step: step, Result: NotMade, Detail: why})
}

// failed notes a check that failed, and the reason in Italian that an anomaly
// envelope tells.
func (r *Report) failed(step Step, reason string, err error) {
	r.note(Check{Step: step, Result: Failed, Detail: err.Error(), Err: err})
	r.problem(reason)
	r.Why = cmp.Or(r.Why, err)
}

// about sets the certificate that a step is about.
func (r *Report) about(step Step, c *x509.Certificate) {
	for i := range r.Checks {
		if r.Checks[i].Step == step {
			r.Checks[i].Certificate = c
		}
	}
}

// complete puts all steps into the list: those that were not reached were not
// made.
func (r *Report) complete() {
	made := r.Checks
	r.Checks = nil
	for _, step := range steps {
		check := Check{Step: step, Result: NotMade, Detail: "an earlier check failed"}
		for _, c := range made {
			if c.Step == step {
				check = c
			}
		}
		r.Checks = append(r.Checks, check)
	}
}
