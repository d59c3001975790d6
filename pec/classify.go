package pec

import (
	"errors"
	"fmt"
	"slices"
	"strings"
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
	// Why is what the first of the checks found that failed, in English for a log;
	// nil for a correct message.
	Why error
}

// Correct tells whether the message is a correct and undamaged PEC envelope or
// notification.
func (c *Classification) Correct() bool { return len(c.Problems) == 0 }

func (c *Classification) problem(reason string) {
	if text := Reason(reason); !slices.Contains(c.Problems, text) {
		c.Problems = append(c.Problems, text)
	}
}

// declaredKind is what the header fields of PEC say.
func declaredKind(h Header) Kind {
	if transport := h.Get(HeaderTransport); transport != "" {
		return Kind(strings.ToLower(transport))
	}
	return Kind(strings.ToLower(h.Get(HeaderReceipt)))
}

// ErrNoCertificationData means that a signed message has no certification data,
// or has them twice.
var ErrNoCertificationData = errors.New("no certification data, or more than one")

// Parts finds the certification data and the original message (nil where there
// is none) of a signed PEC message. Only direct children of the signed
// multipart/mixed count: a forwarded PEC message nests. The error wraps
// ErrNoCertificationData or ErrCertificationData; any other is one of reading.
func Parts(s *Signature) (*CertificationData, *Part, error) {
	data, originals := s.Content.certificationData(), s.Content.namedAll(OriginalName)
	if s.Content.MediaType != "multipart/mixed" || len(data) != 1 || len(originals) > 1 {
		return nil, nil, ErrNoCertificationData
	}
	content := &failureKeeper{Reader: data[0].Content()}
	parsed, err := ParseCertificationData(content)
	if content.err != nil && !errors.Is(content.err, ErrEncoding) {
		return nil, nil, fmt.Errorf("reading the certification data: %w", content.err)
	}
	if err != nil || len(originals) == 0 {
		return parsed, nil, err
	}
	return parsed, originals[0], nil
}

// certificationData are the direct children that are named as certification
// data.
func (p *Part) certificationData() []*Part {
	return append(p.namedAll(CertificationDataName), p.namedAll("certdata.xml")...)
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
	if !c.Provider.managesAll(c.Data.spokenFor()) {
		return Reason("others-recipients")
	}
	return ""
}

// spokenFor are the addresses that certification data speak for: the issuer must
// manage their domains.
func (d *CertificationData) spokenFor() []string {
	switch d.Kind {
	case Envelope, Acceptance, NonAcceptance, TimeoutNotice:
		return []string{d.Sender}
	}
	if d.Delivered == "" {
		return d.TakenFor
	}
	return append(slices.Clone(d.TakenFor), d.Delivered)
}

// managesAll tells whether the provider manages the domains of all addresses,
// and there is one.
func (p *Provider) managesAll(addresses []string) bool {
	return len(addresses) > 0 && !slices.ContainsFunc(addresses, func(a string) bool { return !p.Manages(a) })
}
