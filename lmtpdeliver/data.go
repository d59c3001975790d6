package lmtpdeliver

import (
	"bufio"
	"bytes"
	"io"
)

// endOfData ends a message (RFC 5321 §4.1.1.4).
const endOfData = ".\r\n"

// data is a message as the MTA sends it behind DATA: Read takes the doubled dots away
// and gives io.EOF behind the last line (RFC 5321 §4.5.2).
//
// QUIRK: that of go-smtp goes byte by byte, and does not see the end of a line that
// CR CR LF ends: a dot behind it keeps its double, and a message whose last line ends
// so never ends.
type data struct {
	in    *bufio.Reader
	last  byte // that was read; zero: none was
	start bool // at the start of a line
	ended bool
}

func newData(in *bufio.Reader) *data { return &data{in: in, start: true} }

// Read gives what has come, and waits only for the first byte of it. It never reads
// behind the end of the message.
func (d *data) Read(p []byte) (n int, err error) {
	for n < len(p) && err == nil && (n == 0 || d.in.Buffered() >= len(endOfData)) {
		var more int
		more, err = d.readStretch(p[n:])
		n += more
	}
	if err == io.EOF && !d.ended {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// readStretch gives bytes up to the next line that begins with a dot, at most.
func (d *data) readStretch(p []byte) (int, error) {
	if d.start && !d.ended {
		if err := d.readDot(); err != nil {
			return 0, err
		}
	}
	if d.ended {
		return 0, io.EOF
	}
	come, err := arrived(d.in)
	if err != nil {
		return 0, err
	}
	n := copy(p, d.stretch(come))
	d.note(p[:n])
	return d.in.Discard(n)
}

// readDot reads the dot that begins a line, if one does: it is doubled, or ends the
// message.
func (d *data) readDot() error {
	if first, err := d.in.Peek(1); err != nil || first[0] != '.' {
		return err
	}
	line, err := d.in.Peek(len(endOfData))
	if err != nil {
		return err
	}
	n := 1
	if d.ended = string(line) == endOfData; d.ended {
		n = len(endOfData)
	}
	_, err = d.in.Discard(n)
	return err
}

// stretch is of what has come what stands before the next line that begins with a dot.
func (d *data) stretch(come []byte) []byte {
	if d.last == '\r' && come[0] == '\n' {
		return come[:1]
	}
	if end := bytes.Index(come, []byte("\r\n.")); end >= 0 {
		return come[:end+len("\r\n")]
	}
	return come
}

// note notes what was read.
func (d *data) note(read []byte) {
	for _, b := range read[max(0, len(read)-2):] {
		d.start = d.last == '\r' && b == '\n'
		d.last = b
	}
}
