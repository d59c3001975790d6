package pec

import (
	"mime"
	"strings"

	"github.com/emersion/go-message/charset"
)

// DecodeText decodes the encoded words of a header text (RFC 2047) into UTF-8.
// What cannot be decoded stays as it is; line ends and other control
// characters become spaces, so that no decoded text can start a header field.
func DecodeText(text string) string {
	decoder := mime.WordDecoder{CharsetReader: charset.Reader}
	decoded, err := decoder.DecodeHeader(text)
	if err != nil {
		decoded = text
	}
	return withoutControls(strings.ToValidUTF8(decoded, "\uFFFD"))
}

// withoutControls replaces control characters, and the marks that change the
// direction of writing, by spaces.
func withoutControls(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r < ' ', r == 0x7f, 0x80 <= r && r < 0xa0,
			0x202a <= r && r <= 0x202e, 0x2066 <= r && r <= 0x2069,
			r == 0x2028, r == 0x2029, r == 0x200e, r == 0x200f:
			return ' '
		}
		return r
	}, text)
}

// Subject is the decoded subject of a message; empty where it has none.
func Subject(h Header) string { return DecodeText(h.Get("Subject")) }

// subjectField is the subject of a generated message: the prefix (it ends with
// its colon) in clear, a space, then
// the original subject as it was encoded, so that the decoded subject is
// exactly prefix and original. encoded is the original field's value as it
// stands, folding and all; where it does not decode to subject (it was changed
// on the way, or is not known) subject is encoded anew.
func subjectField(prefix, encoded, subject string) Field {
	value := strings.TrimLeft(encoded, " \t\r\n")
	if !wellFolded(encoded) || DecodeText(Field{Value: value}.Text()) != subject {
		value = encodeText(subject)
	}
	return Field{"Subject", " " + prefix + " " + value}
}

// encodeText writes text for a header: as it is when it is printable ASCII and
// fits a line, else in encoded words, one a line.
func encodeText(text string) string {
	words := mime.QEncoding.Encode("utf-8", text)
	if words == text && (len(text) > maxPlain || DecodeText(text) != text) {
		words = encodeLong(text)
	}
	return strings.ReplaceAll(words, "?= =?", "?=\r\n =?")
}

// maxPlain keeps a header line, prefix included, far below the 998 bytes of
// RFC 5322 section 2.1.1.
const maxPlain = 800

// encodeLong encodes an ASCII text that is too long for one line.
func encodeLong(text string) string {
	var words []string
	for len(text) > 0 {
		n := min(len(text), 40)
		words = append(words, "=?utf-8?q?"+strings.NewReplacer(" ", "_", "?", "=3F", "_", "=5F", "=", "=3D").Replace(text[:n])+"?=")
		text = text[n:]
	}
	return strings.Join(words, " ")
}

// wellFolded tells whether a field value has line ends only where folding puts
// them, no other control characters, and no byte beyond ASCII.
func wellFolded(value string) bool {
	for i := range len(value) {
		c := value[i]
		switch {
		case c == '\r' && i+2 < len(value) && value[i+1] == '\n' && isBlank(value[i+2]):
		case c == '\n' && i > 0 && value[i-1] == '\r':
		case c == '\t', ' ' <= c && c < 127:
		default:
			return false
		}
	}
	return true
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' }
