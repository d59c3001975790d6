package pec

import (
	"errors"
	"fmt"
	"strings"
)

// The limits of WalkPEC.
const (
	MaxNested = 3    // messages around one that is found
	MaxFound  = 1000 // places that are visited
)

// ErrNested means that a message inside another is not looked into.
var ErrNested = errors.New("not looked into")

// Found is a PEC message that WalkPEC found, or a place into which it could not
// look.
type Found struct {
	// Place is the number of the part that holds the message, as in IMAP (RFC 9051
	// section 6.4.5): 2.1 is the first part of the message that is the second;
	// empty for the message itself.
	Place string
	// Within is the place of the PEC message around it; itself where there is none.
	Within string
	// Message is what was found. Of a Bare one the header is that of the part.
	Message Message
	// Root is its structure, for Verification; nil where it is refused, or where
	// Err is set.
	Root *Part
	// Bare: it is a part, multipart/signed, without the header fields of the message
	// that it was, as a mailing list leaves it.
	Bare bool
	// Err is why the place could not be looked into: it wraps ErrNested.
	Err error
}

// Outermost tells whether no other PEC message is around it.
func (f *Found) Outermost() bool { return f.Place == f.Within }

// WalkPEC visits what claims to be a PEC message: the message itself, and those
// inside it, attached or left by a mailing list, at most MaxNested deep. A message
// claims to be one by its header fields, or by certification data under a
// signature; whether it is one Verify tells. An error of visit ends the walk and
// is returned. One that wraps ErrStructure tells of more than MaxFound places, any
// other is one of reading.
//
// An attached message that is encoded is in memory while it is visited: at most
// MaxEncodedMessage for each level.
func WalkPEC(m Message, visit func(Found) error) error {
	visits := 0
	w := &nestWalker{visit: func(f Found) error {
		if visits++; visits > MaxFound {
			return fmt.Errorf("%w: more than %d PEC messages", ErrStructure, MaxFound)
		}
		return visit(f)
	}}
	return w.message(m, place{}, 0)
}

type nestWalker struct{ visit func(Found) error }

// place is where a part is: its number, and the PEC message around it.
type place struct {
	number, within string
	inPEC          bool
}

func (p place) child(n int) place {
	p.number = strings.TrimPrefix(fmt.Sprintf("%s.%d", p.number, n+1), ".")
	return p
}

// message visits a message, and what is in it.
func (w *nestWalker) message(m Message, at place, depth int) error {
	root, err := Structure(m)
	if err != nil && !errors.Is(err, ErrStructure) {
		return err
	}
	if claimsPEC(m.Header) || root != nil && root.isSignedPEC() {
		if at, err = w.found(Found{Message: m, Root: root}, at); err != nil {
			return err
		}
	}
	if root == nil {
		return nil
	}
	return w.parts(root, at, depth)
}

// found visits a PEC message, and gives the place of what is in it.
func (w *nestWalker) found(f Found, at place) (place, error) {
	f.Place, f.Within = at.number, at.number
	if at.inPEC {
		f.Within = at.within
	}
	return place{number: at.number, within: at.number, inPEC: true}, w.visit(f)
}

func (w *nestWalker) parts(p *Part, at place, depth int) error {
	for i, child := range p.Parts {
		if err := w.part(child, at.child(i), depth); err != nil {
			return err
		}
	}
	return nil
}

func (w *nestWalker) part(p *Part, at place, depth int) error {
	bare := p.isSignedPEC()
	switch {
	case !bare && !p.isMessage():
		return w.parts(p, at, depth)
	case depth == MaxNested:
		return w.skip(at, fmt.Errorf("more than %d messages are around it", MaxNested))
	case !bare:
		return w.attached(p, at, depth+1)
	}
	m := Message{p.Header, p.Body()}
	at, err := w.found(Found{Message: m, Root: p, Bare: true}, at)
	if err != nil {
		return err
	}
	return w.parts(p, at, depth+1)
}

// attached opens an attached message.
func (w *nestWalker) attached(p *Part, at place, depth int) error {
	body, err := p.Decoded()
	if errors.Is(err, ErrEncoding) {
		return w.skip(at, err)
	}
	if err != nil {
		return err
	}
	m, err := ReadMessage(body, body.Size())
	if errors.Is(err, ErrHeader) {
		return w.skip(at, err)
	}
	if err != nil {
		return err
	}
	return w.message(m, at, depth)
}

func (w *nestWalker) skip(at place, why error) error {
	f := Found{Place: at.number, Within: at.number, Err: fmt.Errorf("%w: %w", ErrNested, why)}
	if at.inPEC {
		f.Within = at.within
	}
	return w.visit(f)
}

// claimsPEC tells whether a message says that it is one of PEC.
func claimsPEC(h Header) bool { return h.Count(HeaderTransport)+h.Count(HeaderReceipt) > 0 }

// isSignedPEC tells whether a part is signed, with certification data.
func (p *Part) isSignedPEC() bool {
	return p.MediaType == "multipart/signed" && len(p.Parts) > 0 && len(p.Parts[0].certificationData()) > 0
}

// isMessage tells whether a part is an attached message. QUIRK: some clients
// attach a saved message as a file of no known type.
func (p *Part) isMessage() bool {
	return p.MediaType == "message/rfc822" || p.MediaType == "application/octet-stream" &&
		strings.HasSuffix(strings.ToLower(p.Name()), ".eml")
}
