package pec

import (
	"encoding/binary"
	"fmt"
	"mime/quotedprintable"
	"slices"
	"strings"
)

// OriginalName is the name of the attachment that carries the original message
// (RFC 6109 section 4.3.2).
const OriginalName = "postacert.eml"

// content is the part that is signed: multipart/mixed with the readable text
// in two forms, the certification data, the attached message (RFC 6109 section
// 4.3).
func (d *Draft) content(mixed, alternative string) ([]Body, error) {
	readable, err := d.readableParts(alternative)
	if err != nil {
		return nil, err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "Content-Type: multipart/mixed; boundary=\"%s\"\r\nContent-Transfer-Encoding: %s\r\n\r\n--%s\r\n%s",
		mixed, d.encoding(), mixed, readable)
	if d.xml != nil {
		fmt.Fprintf(&b, "\r\n--%s\r\nContent-Type: application/xml; name=\"%s\"\r\nContent-Transfer-Encoding: base64\r\n"+
			"Content-Disposition: inline; filename=\"%[2]s\"\r\n\r\n%s", mixed, CertificationDataName, base64Lines(d.xml))
	}
	end := text("\r\n--" + mixed + "--\r\n")
	if d.attached == nil {
		return []Body{text(b.String()), end}, nil
	}
	fmt.Fprintf(&b, "\r\n--%s\r\nContent-Type: message/rfc822; name=\"%s\"\r\nContent-Transfer-Encoding: %s\r\n"+
		"Content-Disposition: inline; filename=\"%[2]s\"\r\n\r\n", mixed, OriginalName, d.encoding())
	return slices.Concat([]Body{text(b.String())}, d.attached, []Body{end}), nil
}

// encoding is 8bit where the attached message has bytes over 127: it is enclosed
// as it is, and a message/rfc822 may not be encoded (RFC 2046 section 5.2.1).
func (d *Draft) encoding() string {
	if d.eightBit {
		return "8bit"
	}
	return "7bit"
}

// readableParts is the multipart/alternative with the readable text as plain
// text and as HTML (RFC 6109 section 4.3.1).
func (d *Draft) readableParts(boundary string) (string, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "Content-Type: multipart/alternative; boundary=\"%s\"\r\n", boundary)
	for _, part := range []struct{ subtype, text string }{{"plain", d.text}, {"html", htmlText(d.text)}} {
		encoded, err := quotedPrintable(latin1(part.text))
		if err != nil {
			return "", fmt.Errorf("encoding the readable text: %w", err)
		}
		fmt.Fprintf(&b, "\r\n--%s\r\nContent-Type: text/%s; charset=\"iso-8859-1\"\r\n"+
			"Content-Transfer-Encoding: quoted-printable\r\n\r\n%s", boundary, part.subtype, encoded)
	}
	fmt.Fprintf(&b, "\r\n--%s--\r\n", boundary)
	return b.String(), nil
}

func quotedPrintable(text []byte) (string, error) {
	var b strings.Builder
	w := quotedprintable.NewWriter(&b)
	if _, err := w.Write(text); err != nil {
		return "", err
	}
	if err := w.Close(); err != nil {
		return "", err
	}
	return b.String(), nil
}

// attach encloses a message, given in pieces; it is read once here, to see
// whether it has bytes over 127.
func (d *Draft) attach(message ...Body) error {
	d.attached = message
	var scan eightBitScan
	if err := writeBodies(&scan, message); err != nil {
		return fmt.Errorf("reading the message to attach: %w", err)
	}
	d.eightBit = bool(scan)
	return nil
}

// pieces are the message's header section with the empty line, and its body.
func (m Message) pieces() []Body {
	header := text(m.Header.String() + "\r\n")
	if m.Body == nil {
		return []Body{header}
	}
	return []Body{header, m.Body}
}

// eightBitScan becomes true when a byte over 127 is written to it.
type eightBitScan bool

func (s *eightBitScan) Write(p []byte) (int, error) {
	*s = *s || eightBitScan(hasEightBits(p))
	return len(p), nil
}

// hasEightBits looks at eight bytes at a time: it is asked about every byte of
// every message.
func hasEightBits(p []byte) bool {
	const top = 0x8080808080808080
	for len(p) >= 8 {
		if binary.NativeEndian.Uint64(p)&top != 0 {
			return true
		}
		p = p[8:]
	}
	for _, b := range p {
		if b > 127 {
			return true
		}
	}
	return false
}
