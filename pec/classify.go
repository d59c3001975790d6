package pec

import (
	"errors"
	"slices"
	"strings"
	"time"
)

// Classification is what an incoming message turned out to be (RFC 6109
// section 2.2.2).
type Classification struct {
	// Kind is what the message says it is: Envelope, or a kind of notification;
	// empty for any other message.
	Kind Kind
	// Signature is set if the message is signed and the signature is
	// mathematically good; nil otherwise.
	Signature *Signature
	// Provider is the PEC provider that signed; nil if none did, or if its
	// certificate is not to be trusted.
	Provider *Provider
	// Data are the certification data; nil where there are none, or bad ones.
	Data *CertificationData
	// Original is the enclosed original message: of an envelope, and of a
	// complete or brief delivery notification.
	Original *Part
	// Problems are the reasons why this is no correct PEC message, in Italian
	// as an anomaly envelope tells them; none for a correct one.
	Problems []string
}

// Correct tells whether the message is a correct and undamaged PEC envelope or
// notification.
func (c *Classification) Correct() bool { return len(c.Problems) == 0 }

func (c *Classification) problem(reason string) { c.Problems = append(c.Problems, Reason(reason)) }

// Classify tells what a message is, by its structure: the signature's
// existence, validity and origin, then the form (RFC 6109 section 2.2.2). at is
// the time of arrival. An error means that it cannot be told now
// (ErrRevocationUnknown, or the body cannot be read), never that the message is
// bad.
func Classify(m Message, trust *Trust, at time.Time) (*Classification, error) {
	c := &Classification{Kind: declaredKind(m.Header)}
	root, err := Structure(m)
	if err != nil {
		return c, c.unsigned(err)
	}
	if c.Signature, err = VerifySignature(m, root); err != nil {
		return c, c.unsigned(err)
	}
	if c.Provider, err = trust.Provider(c.Signature, at); err != nil {
		c.Provider = nil
		c.problem("untrusted")
		return c, temporary(err)
	}
	c.checkForm(m.Header)
	return c, nil
}

// unsigned notes why there is no good signature; only an error of reading is
// returned.
func (c *Classification) unsigned(err error) error {
	c.Signature = nil
	switch {
	case errors.Is(err, ErrNotSigned):
		c.problem("not-signed")
	case errors.Is(err, ErrBadSignature):
		c.problem("untrusted")
	case errors.Is(err, ErrStructure):
		c.problem("form")
	default:
		return err
	}
	return nil
}

// temporary keeps only the error that says nothing about the message.
func temporary(err error) error {
	if errors.Is(err, ErrRevocationUnknown) {
		return err
	}
	return nil
}

// declaredKind is what the header fields of PEC say.
func declaredKind(h Header) Kind {
	if transport := h.Get(HeaderTransport); transport != "" {
		return Kind(strings.ToLower(transport))
	}
	return Kind(strings.ToLower(h.Get(HeaderReceipt)))
}

// checkForm checks the formal correctness of a message whose signer is known:
// From belongs to the signer, the certification data follow the scheme, and
// the header agrees with them.
func (c *Classification) checkForm(h Header) {
	c.checkFrom(h)
	c.readParts()
	if c.Data == nil {
		return
	}
	if h.Count(HeaderTransport)+h.Count(HeaderReceipt) != 1 || c.Data.Kind != c.Kind {
		c.problem("kind")
	}
	if c.Kind == Envelope && c.Original == nil {
		c.problem("no-original")
	}
	if c.Original != nil {
		if _, err := c.Original.Decoded(); err != nil {
			c.problem("original")
		}
	}
}

// checkFrom: the address in From is one of the certificate's, and its domain one
// of the signer's (RFC 6109 sections 2.1 and 7).
func (c *Classification) checkFrom(h Header) {
	from, err := Addresses(h, "From")
	if err != nil || len(from) != 1 || h.Count("From") != 1 {
		c.problem("from-address")
		return
	}
	if !slices.ContainsFunc(c.Signature.Addresses(), func(a string) bool { return strings.EqualFold(a, from[0]) }) {
		c.problem("from-certificate")
	}
	if !c.Provider.Manages(from[0]) {
		c.problem("no-pec-domain")
	}
}

// readParts finds certification data and original message.
func (c *Classification) readParts() {
	var err error
	switch c.Data, c.Original, err = Parts(c.Signature); {
	case errors.Is(err, ErrCertificationData):
		c.problem("certification-data")
	case err != nil:
		c.problem("no-certification-data")
	}
}

// ErrNoCertificationData means that a signed message has no certification data,
// or has them twice.
var ErrNoCertificationData = errors.New("no certification data, or more than one")

// Parts finds the certification data and the original message (nil where there
// is none) of a signed PEC message. Only direct children of the signed
// multipart/mixed count: a forwarded PEC message nests. The error wraps
// ErrNoCertificationData or ErrCertificationData.
func Parts(s *Signature) (*CertificationData, *Part, error) {
	data := append(s.Content.namedAll(CertificationDataName), s.Content.namedAll("certdata.xml")...)
	originals := s.Content.namedAll(OriginalName)
	if s.Content.MediaType != "multipart/mixed" || len(data) != 1 || len(originals) > 1 {
		return nil, nil, ErrNoCertificationData
	}
	parsed, err := ParseCertificationData(data[0].Content())
	if err != nil || len(originals) == 0 {
		return parsed, nil, err
	}
	return parsed, originals[0], nil
}

// Enclosed is the message that a signed PEC message encloses as a direct child:
// the original of an envelope or a receipt, what came in of an anomaly envelope;
// nil where there is none, or more than one.
func Enclosed(s *Signature) *Part {
	if all := s.Content.namedAll(OriginalName); len(all) == 1 {
		return all[0]
	}
	return nil
}

// namedAll are the direct children whose name is that, in Content-Type or
// Content-Disposition.
func (p *Part) namedAll(name string) []*Part {
	var all []*Part
	for _, child := range p.Parts {
		if strings.EqualFold(child.Name(), name) {
			all = append(all, child)
		}
	}
	return all
}

// CheckEnvelope is why an envelope may not be accepted for the reverse path it
// came with; empty if it may. The mittente's domain must be the signer's, and
// the reverse path the mittente: a replay from elsewhere is no PEC message.
func (c *Classification) CheckEnvelope(reversePath string) string {
	switch {
	case !c.Provider.Manages(c.Data.Sender):
		return Reason("no-pec-domain")
	case !SameAddress(reversePath, c.Data.Sender):
		return Reason("sender-data")
	}
	return ""
}

// CheckNotification is why a notification may not be taken for the transaction
// it came in; empty if it may. mailReceipt is our service mailbox; own tells
// that we signed it ourselves. A provider may speak only for its own domains,
// to whom it concerns; the notices that only the sender's provider issues count
// only from ourselves.
func (c *Classification) CheckNotification(reversePath string, recipients []string, mailReceipt string, own bool) string {
	to := c.Data.Sender
	switch c.Kind {
	case ServerAcceptance, VirusDetection:
		to = mailReceipt
	case Delivery, NonDelivery:
	case Acceptance, NonAcceptance, TimeoutNotice:
		if !own {
			return Reason("sender-provider")
		}
	default:
		return Reason("form")
	}
	if !slices.ContainsFunc(c.Signature.Addresses(), func(a string) bool { return strings.EqualFold(a, reversePath) }) {
		return Reason("sender-signer")
	}
	if slices.ContainsFunc(recipients, func(r string) bool { return !SameAddress(r, to) }) {
		return Reason("recipient-data")
	}
	return c.checkSpeaksFor()
}

// checkSpeaksFor: the recipients that a notification speaks for are the
// signer's. The sender's own notices speak for the sender.
func (c *Classification) checkSpeaksFor() string {
	if c.Kind == Acceptance || c.Kind == NonAcceptance || c.Kind == TimeoutNotice {
		return ""
	}
	spoken := slices.Concat(c.Data.TakenFor, nonEmpty(c.Data.Delivered))
	if len(spoken) == 0 || slices.ContainsFunc(spoken, func(a string) bool { return !c.Provider.Manages(a) }) {
		return Reason("others-recipients")
	}
	return ""
}

func nonEmpty(s string) []string {
	if s == "" {
		return nil
	}
	return []string{s}
}
