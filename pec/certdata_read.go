package pec

import (
	"bufio"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// MaxCertificationData is the largest daticert.xml, in bytes, that is read.
const MaxCertificationData = 1 << 20

// ErrCertificationData means that a daticert.xml does not follow the scheme of
// RFC 6109 section 4.4; it is wrapped with what is wrong.
var ErrCertificationData = errors.New("certification data do not follow the scheme")

// ParseCertificationData reads a daticert.xml strictly: the elements of the DTD
// of RFC 6109 section 4.4 in their order and number, UTF-8, no DOCTYPE,
// nothing after the root. encoding/xml alone would keep the last of two
// elements and overlook a second root. All errors wrap ErrCertificationData.
func ParseCertificationData(r io.Reader) (*CertificationData, error) {
	p := &certdataParser{decoder: xml.NewDecoder(withoutMark(io.LimitReader(r, MaxCertificationData+1)))}
	data := &CertificationData{}
	p.document(data)
	if p.err == nil && p.decoder.InputOffset() > MaxCertificationData {
		p.fail("longer than %d bytes", MaxCertificationData)
	}
	if p.err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCertificationData, p.err)
	}
	return data, nil
}

// withoutMark passes over a byte order mark, which belongs to the encoding (XML
// 1.0 section 4.3.3) and which encoding/xml takes for text.
func withoutMark(r io.Reader) io.Reader {
	in := bufio.NewReader(r)
	if begin, _ := in.Peek(3); string(begin) == "\ufeff" {
		in.Discard(3)
	}
	return in
}

// certdataParser walks the elements in the order of the DTD. After the first
// error every method does nothing.
type certdataParser struct {
	decoder *xml.Decoder
	next    *xml.StartElement // read but not yet taken
	err     error
}

func (p *certdataParser) fail(format string, args ...any) {
	if p.err == nil {
		p.err = fmt.Errorf(format, args...)
	}
}

func (p *certdataParser) document(d *CertificationData) {
	root := p.open("postacert", "tipo", "errore")
	d.Kind = Kind(p.oneOf(root, "tipo", "", documentKinds))
	d.Error = ErrorKind(p.oneOf(root, "errore", string(NoError), errorKinds))
	p.heading(d)
	p.dati(d)
	p.close("postacert")
	p.end()
}

// The values that the DTD allows for the attributes.
var (
	documentKinds = []string{string(Acceptance), string(NonAcceptance), string(ServerAcceptance), string(Delivery),
		string(Envelope), string(NonDelivery), string(TimeoutNotice), string(VirusDetection)}
	errorKinds     = []string{string(NoError), string(WrongMailbox), string(WrongDomain), string(VirusFound), string(OtherError)}
	recipientKinds = []string{string(Certified), string(Ordinary)}
	receiptTypes   = []string{string(Complete), string(Brief), string(Concise)}
)

func (p *certdataParser) heading(d *CertificationData) {
	p.open("intestazione")
	d.Sender = p.text("mittente")
	for p.is("destinatari") {
		e := p.open("destinatari", "tipo")
		kind := RecipientKind(p.oneOf(e, "tipo", string(Certified), recipientKinds))
		d.Recipients = append(d.Recipients, Recipient{p.content("destinatari"), kind})
	}
	if len(d.Recipients) == 0 {
		p.fail("no element destinatari")
	}
	d.ReplyTo = p.text("risposte")
	d.Subject = p.optional("oggetto")
	p.close("intestazione")
}

func (p *certdataParser) dati(d *CertificationData) {
	p.open("dati")
	d.Provider = p.text("gestore-emittente")
	zone := attribute(p.open("data", "zona"), "zona")
	day, hour := p.text("giorno"), p.text("ora")
	p.close("data")
	var err error
	if d.Time, err = parseDate(day, hour, zone); err != nil {
		p.fail("date %q %q %q: %v", day, hour, zone, err)
	}
	d.ID = trimBrackets(p.text("identificativo"))
	d.Reference = p.optional("msgid")
	if p.is("ricevuta") {
		d.ReceiptType = ReceiptType(p.oneOf(p.open("ricevuta", "tipo"), "tipo", "", receiptTypes))
		p.close("ricevuta")
	}
	d.Delivered = p.optional("consegna")
	for p.is("ricezione") {
		d.TakenFor = append(d.TakenFor, p.text("ricezione"))
	}
	d.Detail = p.optional("errore-esteso")
	p.close("dati")
}

// is tells whether the next thing is a start tag of that name.
func (p *certdataParser) is(name string) bool {
	if p.next == nil && p.err == nil {
		if start, ok := p.token().(xml.StartElement); ok {
			p.next = &start
		} else {
			p.next = &xml.StartElement{} // an end tag: taken by close
		}
	}
	return p.err == nil && p.next.Name.Local == name
}

// open takes a start tag, which may have only these attributes.
func (p *certdataParser) open(name string, attributes ...string) xml.StartElement {
	if !p.is(name) {
		found := "the end of an element"
		if p.next != nil && p.next.Name.Local != "" {
			found = p.next.Name.Local
		}
		p.fail("element %s expected, found %s", name, found)
		return xml.StartElement{}
	}
	start := *p.next
	p.next = nil
	seen := map[string]bool{}
	for _, a := range start.Attr {
		if !slices.Contains(attributes, a.Name.Local) || a.Name.Space != "" || seen[a.Name.Local] {
			p.fail("element %s: attribute %s is not in the scheme or comes twice", name, a.Name.Local)
		}
		seen[a.Name.Local] = true
	}
	if start.Name.Space != "" {
		p.fail("element %s has a namespace", name)
	}
	return start
}

// close takes the end tag of name.
func (p *certdataParser) close(name string) {
	if p.err != nil {
		return
	}
	if p.next != nil && p.next.Name.Local == "" {
		p.next = nil
		return
	}
	if p.next != nil {
		p.fail("element %s is not expected in %s", p.next.Name.Local, name)
		return
	}
	if _, ok := p.token().(xml.EndElement); !ok {
		p.fail("element %s has content that the scheme does not allow", name)
	}
}

func (p *certdataParser) text(name string) string {
	p.open(name)
	return p.content(name)
}

func (p *certdataParser) optional(name string) string {
	if !p.is(name) {
		return ""
	}
	return p.text(name)
}

// content takes the text of the element just opened and its end tag. The text
// is that of one line: surrounding white space does not belong to it.
func (p *certdataParser) content(name string) string {
	var b strings.Builder
	for p.err == nil {
		token, err := p.decoder.Token()
		if err != nil {
			p.fail("element %s: %w", name, err)
			break
		}
		switch t := token.(type) {
		case xml.CharData:
			b.Write(t)
		case xml.Comment:
		case xml.EndElement:
			return strings.TrimSpace(b.String())
		default:
			p.fail("element %s holds more than text", name)
		}
	}
	return ""
}

// token is the next start or end tag; white space and comments are passed over.
func (p *certdataParser) token() xml.Token {
	for p.err == nil {
		token, err := p.decoder.Token()
		if err != nil {
			p.fail("%w", err)
			return nil
		}
		switch t := token.(type) {
		case xml.StartElement:
			return t.Copy()
		case xml.EndElement, nil:
			return t
		default:
			p.passOver(t)
		}
	}
	return nil
}

// passOver accepts what may stand between elements: white space, comments, the
// XML declaration.
func (p *certdataParser) passOver(token xml.Token) {
	switch t := token.(type) {
	case xml.CharData:
		if strings.TrimSpace(string(t)) != "" {
			p.fail("text %.20q between elements", t)
		}
	case xml.Directive:
		p.fail("DOCTYPE is not allowed")
	case xml.ProcInst:
		if t.Target != "xml" {
			p.fail("processing instruction %s is not allowed", t.Target)
		}
	}
}

// end makes sure that nothing follows the root element.
func (p *certdataParser) end() {
	for p.err == nil {
		token, err := p.decoder.Token()
		if err == io.EOF {
			return
		}
		if err != nil {
			p.fail("%w", err)
			return
		}
		switch token.(type) {
		case xml.StartElement, xml.EndElement, xml.ProcInst:
			p.fail("more than one root element")
		default:
			p.passOver(token)
		}
	}
}

func attribute(e xml.StartElement, name string) string {
	for _, a := range e.Attr {
		if a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}

// oneOf is the value of an attribute, which must be one of those allowed;
// missing is its default, or empty where the DTD requires it.
func (p *certdataParser) oneOf(e xml.StartElement, name, missing string, allowed []string) string {
	value := attribute(e, name)
	if value == "" {
		value = missing
	}
	for _, a := range allowed {
		if value == a {
			return value
		}
	}
	p.fail("element %s: attribute %s=%q is not in the scheme", e.Name.Local, name, value)
	return ""
}
