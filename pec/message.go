package pec

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Body is the body of a message: bytes that can be read again and at any
// place, so that a message of 100 MB needs no memory. *bytes.Reader,
// *strings.Reader and *io.SectionReader are bodies. Lines end with CRLF.
type Body interface {
	io.ReaderAt
	Size() int64
}

// Message is a message as it came, byte for byte: its header fields, an empty
// line, its body.
type Message struct {
	Header Header
	Body   Body // nil for an empty body
}

// MaxHeader is the largest header section, in bytes, that ReadMessage takes.
const MaxHeader = 4 << 20

// ErrHeader means that bytes are no message: their header section is malformed or
// larger than MaxHeader.
var ErrHeader = errors.New("malformed header section")

// ErrNoHeader means that a message does not begin with header fields. It is an
// ErrHeader.
var ErrNoHeader = fmt.Errorf("%w: message does not begin with a header field", ErrHeader)

// ReadMessage splits the size bytes of r into header and body. It reads lines
// that end with CRLF or, for files saved by mail clients, LF alone; the body is
// a window on r, nothing is copied. A line of the header that is neither a
// field nor a continuation is an error that wraps ErrHeader; any error that does
// not wrap it is one of reading.
func ReadMessage(r io.ReaderAt, size int64) (Message, error) {
	in := bufio.NewReader(io.NewSectionReader(r, 0, min(size, MaxHeader)))
	var header headerReader
	var at int64
	for {
		line, err := in.ReadString('\n')
		at += int64(len(line))
		if err != nil && err != io.EOF {
			return Message{}, fmt.Errorf("reading header: %w", err)
		}
		text := strings.TrimRight(line, "\r\n")
		switch {
		case text == "" && (err == nil || at == size):
			return Message{header.end(), io.NewSectionReader(r, at, size-at)}, nil
		case err == io.EOF && at < size:
			return Message{}, fmt.Errorf("%w: it is over %d bytes", ErrHeader, MaxHeader)
		}
		if err := header.add(text); err != nil {
			return Message{}, err
		}
	}
}

// WriteTo writes the message: header fields, empty line, body.
func (m Message) WriteTo(w io.Writer) (int64, error) {
	n, err := io.WriteString(w, m.Header.String()+"\r\n")
	if err != nil || m.Body == nil {
		return int64(n), err
	}
	body, err := copyBody(w, m.Body)
	return int64(n) + body, err
}

// copyBody writes a whole body. Most bodies are small, and each is read several
// times: the buffer is no larger than the body.
func copyBody(w io.Writer, b Body) (int64, error) {
	return io.CopyBuffer(w, section(b), make([]byte, bufferFor(b, 32<<10)))
}

func section(b Body) *io.SectionReader { return io.NewSectionReader(b, 0, b.Size()) }

// bufferFor is the size of a buffer for a body: at most that much, and one byte more
// than the body, so that its end is seen before the buffer is full.
func bufferFor(b Body, most int) int { return int(min(b.Size()+1, int64(most))) }

// Size is the length of the message in bytes, as WriteTo writes it.
func (m Message) Size() int64 {
	size := int64(len(m.Header.String())) + 2
	if m.Body != nil {
		size += m.Body.Size()
	}
	return size
}
