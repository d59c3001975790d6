package pec

import (
	"bufio"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime/quotedprintable"
)

// ErrEncoding means that a part's content does not decode by its
// Content-Transfer-Encoding.
var ErrEncoding = errors.New("content does not decode")

// isIdentity tells whether an encoding leaves the bytes as they are, RFC 2045
// section 6.2.
func isIdentity(encoding string) bool {
	return encoding == "7bit" || encoding == "8bit" || encoding == "binary"
}

// decode reads r decoded. Errors of r itself come through as they are; those
// of the encoding wrap ErrEncoding.
func decode(encoding string, r io.Reader) io.Reader {
	from := &failureKeeper{Reader: r}
	switch {
	case isIdentity(encoding):
		return r
	case encoding == "base64":
		return &decoder{base64.NewDecoder(base64.RawStdEncoding, &base64Text{from: from}), from}
	case encoding == "quoted-printable":
		// Its lines may not be longer than the buffer.
		return &decoder{quotedprintable.NewReader(bufio.NewReaderSize(from, 64<<10)), from}
	}
	return &decoder{failing{fmt.Errorf("unknown encoding %q", encoding)}, from}
}

// decoder tells the errors of an encoding from those of its source.
type decoder struct {
	io.Reader
	from *failureKeeper
}

func (d *decoder) Read(p []byte) (int, error) {
	n, err := d.Reader.Read(p)
	if err != nil && err != io.EOF && d.from.err == nil {
		err = fmt.Errorf("%w: %w", ErrEncoding, err)
	}
	return n, err
}

// failureKeeper remembers how reading failed.
type failureKeeper struct {
	io.Reader
	err error
}

func (k *failureKeeper) Read(p []byte) (int, error) {
	n, err := k.Reader.Read(p)
	if err != nil && err != io.EOF {
		k.err = err
	}
	return n, err
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// base64Text lets the letters of base64 through and drops the rest, as RFC 2045
// section 6.8 demands of a reader, up to the padding. Letters after the padding
// are an error: some readers would go on there, others stop.
type base64Text struct {
	from   io.Reader
	padded bool
}

func (b *base64Text) Read(p []byte) (int, error) {
	for {
		n, err := b.from.Read(p)
		kept := 0
		for _, c := range p[:n] {
			switch {
			case c == '=':
				b.padded = true
			case !isBase64(c):
			case b.padded:
				return 0, errors.New("base64 goes on after its padding")
			default:
				p[kept] = c
				kept++
			}
		}
		if kept > 0 || err != nil || len(p) == 0 {
			return kept, err
		}
	}
}

func isBase64(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '+' || c == '/'
}
