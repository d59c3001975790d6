package pec

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
)

// maxBoundary is the longest boundary, RFC 2046 section 5.1.1.
const maxBoundary = 70

// boundary is the boundary of a multipart. QUIRK: RFC 2046 section 5.1.1 knows
// fewer characters; clients use all that are printable and need no escape.
func (p *Part) boundary() (string, error) {
	boundary := p.Params["boundary"]
	switch {
	case strings.Contains(strings.ToLower(p.Header.Get("Content-Type")), "boundary*"):
		return "", errors.New("boundary in the form of RFC 2231, which most readers do not know")
	case boundary == "":
		return "", errors.New("multipart without boundary")
	case len(boundary) > maxBoundary:
		return "", fmt.Errorf("boundary is over %d characters", maxBoundary)
	case strings.HasSuffix(boundary, " ") || strings.ContainsFunc(boundary, notInBoundary):
		return "", fmt.Errorf("boundary %q has characters that it may not have", boundary)
	}
	return boundary, nil
}

func notInBoundary(c rune) bool { return c < ' ' || c > '~' || c == '"' || c == '\\' }

// delimiter tells whether the current line is a delimiter of an open
// multipart: its depth, or -1.
func (w *walker) delimiter() (depth int, closing bool, err error) {
	depth = -1
	text, ok := bytes.CutPrefix(w.lines.text, []byte("--"))
	if !ok {
		return depth, false, nil
	}
	for i, m := range w.open {
		matches, closes := m.delimits(text)
		switch {
		case !matches:
		case w.lines.long:
			return 0, false, w.ambiguous(errors.New("delimiter line with endless white space"))
		case depth >= 0:
			return 0, false, w.ambiguous(fmt.Errorf("line is the delimiter of two multiparts, boundary %q", m.boundary))
		case m.closed:
			return 0, false, w.ambiguous(fmt.Errorf("delimiter after the closing one, boundary %q", m.boundary))
		default:
			depth, closing = i, closes
		}
	}
	return depth, closing, nil
}

// delimits tells whether a line, without its first two hyphens, is a delimiter
// of the multipart, and whether the closing one. White space may follow.
func (m *multipart) delimits(text []byte) (matches, closing bool) {
	if len(text) < len(m.boundary) || string(text[:len(m.boundary)]) != m.boundary {
		return false, false
	}
	rest, closing := bytes.CutPrefix(text[len(m.boundary):], []byte("--"))
	return len(bytes.TrimRight(rest, " \t")) == 0, closing
}

// maxScan is how much of a line is looked at.
const maxScan = 64 << 10

// lineReader goes over the lines of a body. Its fields tell of the current
// line.
type lineReader struct {
	in     *bufio.Reader
	start  int64  // where the line starts
	offset int64  // where the next one starts
	text   []byte // without line end; valid until next
	long   bool   // text is only the beginning
}

func newLineReader(b Body) *lineReader {
	return &lineReader{in: bufio.NewReaderSize(section(b), bufferFor(b, maxScan))}
}

// next goes to the next line. io.EOF means that there is none.
func (l *lineReader) next() error {
	l.start = l.offset
	chunk, err := l.in.ReadSlice('\n')
	l.offset += int64(len(chunk))
	if l.long = err == bufio.ErrBufferFull; l.long {
		l.text = bytes.Clone(chunk)
		return l.skip()
	}
	l.text = bytes.TrimSuffix(bytes.TrimSuffix(chunk, []byte("\n")), []byte("\r"))
	if err == io.EOF && len(chunk) > 0 {
		return nil
	}
	return err
}

// skip goes to the end of an over-long line.
func (l *lineReader) skip() error {
	err := bufio.ErrBufferFull
	for err == bufio.ErrBufferFull {
		var chunk []byte
		chunk, err = l.in.ReadSlice('\n')
		l.offset += int64(len(chunk))
	}
	if err == io.EOF {
		return nil
	}
	return err
}
