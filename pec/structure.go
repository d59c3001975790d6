package pec

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
)

// The limits of Structure.
const (
	MaxDepth = 32     // multiparts within multiparts
	MaxParts = 10_000 // parts of a message, over all depths
)

// The header sections of parts are kept in memory: their size is limited, for
// one part and for all. Each line counts lineCost bytes more than it has, for
// that is what it takes to keep it.
const (
	maxPartHeader  = 64 << 10
	maxPartHeaders = 4 << 20
	lineCost       = 64
)

// ErrStructure means that a message's MIME structure is refused: it is no PEC
// message. It is wrapped with the place and one of the errors below. An error of
// Structure that does not wrap it is one of reading.
var ErrStructure = errors.New("MIME structure refused")

// Why a structure is refused.
var (
	ErrTooDeep      = fmt.Errorf("multiparts are nested more than %d deep", MaxDepth)
	ErrTooManyParts = fmt.Errorf("message has more than %d parts", MaxParts)
	// ErrAmbiguous: two readers may see two different messages.
	ErrAmbiguous = errors.New("ambiguous")
	// ErrUnclosed: the closing delimiter of a multipart is missing, as in a
	// truncated message.
	ErrUnclosed = errors.New("multipart is not closed")
	// ErrPartHeader: the header section of a part is malformed or too large.
	ErrPartHeader = errors.New("bad header section of a part")
)

// Structure reads the tree of a message's parts (RFC 2045, RFC 2046) in one
// pass over its bytes; memory does not grow with the size of bodies. Lines end
// with CRLF or LF. The returned part is the message itself; attached messages
// are leaves, which Part.Message opens.
//
// It is strict: what another reader may take for another message is an error
// (ErrAmbiguous), for such a message is no PEC message. Delimiters are whole
// lines: a boundary that begins like another is told apart from it.
func Structure(m Message) (*Part, error) {
	body := m.Body
	if body == nil {
		body = strings.NewReader("")
	}
	root := &Part{Header: m.Header, source: body, end: body.Size()}
	w := &walker{source: body, lines: newLineReader(body)}
	if err := w.enter(root); err != nil {
		return nil, err
	}
	if err := w.walk(); err != nil {
		return nil, err
	}
	return root, nil
}

// walker goes over the lines of a body. All multiparts that are open have
// their frame in it, so that depth costs nothing but a comparison.
type walker struct {
	source Body
	lines  *lineReader
	open   []*multipart // outermost first
	part   *Part        // whose header section is being read; nil in bodies
	header headerReader // of part
	cost   int          // of part's header section
	parts  int
	total  int // cost of all header sections
}

// multipart is a multipart whose end has not come, or whose epilogue lasts.
type multipart struct {
	part     *Part
	boundary string
	closed   bool
}

func (w *walker) walk() error {
	for len(w.open) > 0 {
		err := w.lines.next()
		if err == io.EOF {
			return w.checkClosed(w.open)
		}
		if err != nil {
			return fmt.Errorf("reading message: %w", err)
		}
		if err := w.line(); err != nil {
			return err
		}
	}
	return nil
}

// refuse makes the error of the current line.
func (w *walker) refuse(reason error) error {
	return fmt.Errorf("%w: at byte %d of the body: %w", ErrStructure, w.lines.start, reason)
}

// ambiguous makes the error of the current line for what readers would take
// one way or the other.
func (w *walker) ambiguous(reason error) error {
	return w.refuse(fmt.Errorf("%w: %w", ErrAmbiguous, reason))
}

func (w *walker) line() error {
	depth, closing, err := w.delimiter()
	switch {
	case err != nil:
		return err
	case depth >= 0:
		return w.pass(depth, closing)
	case w.part != nil:
		return w.headerLine()
	}
	return nil
}

// pass ends what came before a delimiter of the multipart at depth, and begins
// what comes after.
func (w *walker) pass(depth int, closing bool) error {
	end, err := w.endBefore(w.lines.start)
	if err != nil {
		return err
	}
	if w.part != nil {
		w.part.body = w.lines.start
		if err := w.endHeader(); err != nil {
			return err
		}
	}
	if err := w.checkClosed(w.open[depth+1:]); err != nil {
		return err
	}
	w.open = w.open[:depth+1]
	m := w.open[depth]
	if n := len(m.part.Parts); n > 0 {
		m.part.Parts[n-1].endAt(end)
	}
	if m.closed = closing; closing {
		return nil
	}
	return w.begin(m)
}

// endBefore is where the content ends before a delimiter line: the line end in
// between is the delimiter's (RFC 2046 section 5.1.1).
func (w *walker) endBefore(start int64) (int64, error) {
	var before [2]byte
	n := min(2, start)
	if _, err := w.source.ReadAt(before[2-n:], start-n); err != nil && err != io.EOF {
		return 0, fmt.Errorf("reading message: %w", err)
	}
	switch {
	case before == [2]byte{'\r', '\n'}:
		return start - 2, nil
	case before[1] == '\n':
		return start - 1, nil
	}
	return start, nil
}

// begin starts a part after a delimiter line.
func (w *walker) begin(m *multipart) error {
	if w.parts++; w.parts > MaxParts {
		return w.refuse(ErrTooManyParts)
	}
	w.part = &Part{source: w.source, start: w.lines.offset}
	w.cost = 0
	m.part.Parts = append(m.part.Parts, w.part)
	return nil
}

func (w *walker) headerLine() error {
	text := w.lines.text
	if len(text) == 0 {
		w.part.body = w.lines.offset
		return w.endHeader()
	}
	w.cost += len(text) + lineCost
	w.total += len(text) + lineCost
	if w.lines.long || w.cost > maxPartHeader || w.total > maxPartHeaders {
		return w.refuse(fmt.Errorf("%w: too large", ErrPartHeader))
	}
	if bytes.IndexByte(text, '\r') >= 0 {
		return w.refuse(fmt.Errorf("%w: CR that ends no line", ErrPartHeader))
	}
	if err := w.header.add(string(text)); err != nil {
		return w.refuse(fmt.Errorf("%w: %w", ErrPartHeader, err))
	}
	return nil
}

func (w *walker) endHeader() error {
	part := w.part
	part.Header = w.header.end()
	w.part, w.header = nil, headerReader{}
	return w.enter(part)
}

// enter reads what a part's header says, and opens the part if it is a
// multipart.
func (w *walker) enter(p *Part) error {
	if err := p.describe(); err != nil {
		return w.ambiguous(err)
	}
	if !p.isMultipart() {
		return nil
	}
	if len(w.open) == MaxDepth {
		return w.refuse(ErrTooDeep)
	}
	boundary, err := p.boundary()
	if err != nil {
		return w.ambiguous(err)
	}
	w.open = append(w.open, &multipart{part: p, boundary: boundary})
	return nil
}

// checkClosed: where multiparts end by force, the message is truncated or its
// readers disagree.
func (w *walker) checkClosed(all []*multipart) error {
	for _, m := range all {
		if !m.closed {
			return w.refuse(fmt.Errorf("%w: boundary %q", ErrUnclosed, m.boundary))
		}
	}
	return nil
}
