package pec

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// ErrForm means that a message is not formally correct though its signature is
// good; it is wrapped with what is wrong.
var ErrForm = errors.New("not the form of a PEC message")

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrForm}, args...)...)
}

// checkForm checks the formal correctness of a signed message: From belongs to
// the signer, the certification data follow the scheme, and the header agrees
// with them (RFC 6109 section 2.2.2). The error is one of reading.
func (v *verifier) checkForm() error {
	v.checkFrom()
	if err := v.checkData(); err != nil {
		return err
	}
	if v.Data == nil && (v.strict || v.Kind != Anomaly) {
		return nil
	}
	v.checkKind()
	if !v.strict {
		v.checkDomains()
		v.checkHeaders()
	}
	return v.checkOriginal()
}

// bare notes a check of header fields that are not there.
func (v *verifier) bare(step Step) bool {
	if v.by.Bare {
		v.notMade(step, "the header fields of the message are not there: only the signed part is")
	}
	return v.by.Bare
}

// checkFrom: the address in From is one of the certificate's, and its domain one
// of the signer's (RFC 6109 sections 2.1 and 7).
func (v *verifier) checkFrom() {
	if v.bare(StepFrom) {
		return
	}
	from, err := Addresses(v.message.Header, "From")
	if err != nil || len(from) != 1 || v.message.Header.Count("From") != 1 {
		v.failed(StepFrom, "from-address", malformed("From is not one address"))
		return
	}
	if slices.ContainsFunc(v.Signature.Addresses(), func(a string) bool { return strings.EqualFold(a, from[0]) }) {
		v.passed(StepFrom, from[0]+" is an address of the certificate")
	} else {
		v.failed(StepFrom, "from-certificate", malformed("From is %s, the certificate is for %s", from[0],
			strings.Join(v.Signature.Addresses(), ", ")))
	}
	if v.listed != nil && !v.listed.Manages(from[0]) {
		v.failed(StepFrom, "no-pec-domain", malformed("%s is in no domain of %s", from[0], v.listed.Name))
	}
}

// checkData finds and reads the certification data.
func (v *verifier) checkData() (err error) {
	v.Data, v.Original, err = Parts(v.Signature)
	switch {
	case err == nil:
		v.passed(StepData, fmt.Sprintf("%s %s of %s", v.Data.Kind, v.Data.ID, v.Data.Provider))
	case errors.Is(err, ErrCertificationData):
		v.failed(StepData, "certification-data", err)
	case !errors.Is(err, ErrNoCertificationData):
		return err
	case v.Kind == Anomaly && !v.strict && len(v.Signature.Content.certificationData()) == 0:
		v.notMade(StepData, "an anomaly envelope has none: nothing of what it encloses is certified")
		v.problem("no-certification-data")
	default:
		v.failed(StepData, "no-certification-data", err)
	}
	if v.by.Bare && v.Data != nil {
		v.Kind = v.Data.Kind
	}
	return nil
}

// checkKind: what the message says it is, its certification data say too. They
// alone are signed.
func (v *verifier) checkKind() {
	h := v.message.Header
	switch {
	case v.bare(StepKind):
	case h.Count(HeaderTransport)+h.Count(HeaderReceipt) != 1:
		v.failed(StepKind, "kind", malformed("not one field %s or %s", HeaderTransport, HeaderReceipt))
	case v.Data != nil && v.Data.Kind != v.Kind:
		v.failed(StepKind, "kind", malformed("the header says %q, the certification data %q", v.Kind, v.Data.Kind))
	default:
		v.passed(StepKind, string(v.Kind))
	}
}

// checkOriginal: an envelope encloses a message, and what is enclosed can be
// read.
func (v *verifier) checkOriginal() error {
	original := v.Original
	if v.Data == nil {
		original = Enclosed(v.Signature)
	}
	switch {
	case original != nil:
		return v.checkReadable(original)
	case v.Kind == Envelope, v.Kind == Anomaly && !v.strict:
		v.failed(StepOriginal, "no-original", malformed("the enclosed message is not there"))
	default:
		v.passed(StepOriginal, "none is enclosed")
	}
	return nil
}

func (v *verifier) checkReadable(original *Part) error {
	_, err := original.Decoded()
	switch {
	case err == nil:
		v.passed(StepOriginal, fmt.Sprintf("%s, %d bytes", original.Name(), original.Body().Size()))
	case errors.Is(err, ErrEncoding):
		v.failed(StepOriginal, "original", err)
	default:
		return err
	}
	return nil
}

// checkDomains: a provider may speak only for the domains that it manages. At a
// door CheckEnvelope and CheckNotification see to it, with what they know of the
// transaction.
func (v *verifier) checkDomains() {
	switch {
	case v.Data == nil:
		v.notMade(StepDomains, "an anomaly envelope speaks for nobody")
	case v.listed == nil:
		v.notMade(StepDomains, "which domains the signer manages is not known")
	case !v.listed.managesAll(v.Data.spokenFor()):
		v.failed(StepDomains, "others-recipients", malformed("%s does not manage the domain of %s", v.listed.Name,
			strings.Join(v.Data.spokenFor(), ", ")))
	default:
		v.passed(StepDomains, v.listed.Name+" manages the domain of "+strings.Join(v.Data.spokenFor(), ", "))
	}
}

// checkHeaders compares the fields that mail clients show with the certification
// data. They are not signed, and some servers on the way change a subject: who
// reads the message should know, that is all.
func (v *verifier) checkHeaders() {
	if v.bare(StepHeaders) {
		return
	}
	if v.Data == nil {
		v.notMade(StepHeaders, "there is nothing to compare them with")
		return
	}
	if differ := v.differing(); len(differ) > 0 {
		v.warned(StepHeaders, strings.Join(differ, "; "))
		return
	}
	v.passed(StepHeaders, "Subject and identifiers are those of the certification data")
}

func (v *verifier) differing() (differ []string) {
	h, d := v.message.Header, v.Data
	if subject := oneLine(Subject(h)); !strings.HasSuffix(subject, oneLine(d.Subject)) {
		differ = append(differ, fmt.Sprintf("Subject is %q, certified is %q", subject, d.Subject))
	}
	if id := trimBrackets(MessageID(h)); v.Kind == Envelope && id != d.ID {
		differ = append(differ, fmt.Sprintf("Message-ID is %q, certified is %q", id, d.ID))
	}
	if reference := trimBrackets(h.Get(HeaderReference)); reference != trimBrackets(d.Reference) {
		differ = append(differ, fmt.Sprintf("%s is %q, certified is %q", HeaderReference, reference, d.Reference))
	}
	return differ
}
