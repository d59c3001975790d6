package daemonlog

import (
	"bytes"
	"fmt"
	"io"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// printable writes JSON in which runes that are not printable are escaped: to JSON
// only those below U+0020 are special, to a terminal also others, as U+009B.
type printable struct{ io.Writer }

// Write writes one or more lines whole: no line of the log is cut in two.
func (p printable) Write(line []byte) (int, error) {
	var out bytes.Buffer
	for rest := line; len(rest) > 0; {
		r, size := utf8.DecodeRune(rest)
		switch {
		case r == '\n' || unicode.IsPrint(r):
			out.Write(rest[:size])
		case r > 0xFFFF:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&out, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&out, `\u%04x`, r)
		}
		rest = rest[size:]
	}
	if _, err := p.Writer.Write(out.Bytes()); err != nil {
		return 0, err
	}
	return len(line), nil
}
