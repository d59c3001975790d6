package pec

import (
	"errors"
	"io"
	"slices"
)

// joined is bodies one after the other, as one: of what is read only windows
// are held.
type joined struct {
	bodies []Body  // none of them empty
	starts []int64 // where each begins
	size   int64
}

func (j *joined) add(b Body) {
	if b.Size() == 0 {
		return
	}
	j.bodies, j.starts = append(j.bodies, b), append(j.starts, j.size)
	j.size += b.Size()
}

// Size is the length of all in bytes.
func (j *joined) Size() int64 { return j.size }

// ReadAt reads across the joints.
func (j *joined) ReadAt(p []byte, at int64) (int, error) {
	switch {
	case at < 0:
		return 0, errors.New("reading before the beginning")
	case at >= j.size:
		return 0, io.EOF
	}
	i, begins := slices.BinarySearch(j.starts, at)
	if !begins {
		i--
	}
	n := 0
	for ; n < len(p) && i < len(j.bodies); i++ {
		from := at + int64(n) - j.starts[i]
		piece := p[n:min(int64(len(p)), int64(n)+j.bodies[i].Size()-from)]
		read, err := j.bodies[i].ReadAt(piece, from)
		n += read
		if read < len(piece) {
			return n, shortRead(err)
		}
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// shortRead is the error of a body that ended before its Size.
func shortRead(err error) error {
	if err == nil || err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// watchedBody remembers how reading failed, so that a fault of the disk is told
// from a fault of the message.
type watchedBody struct {
	Body
	err error
}

// ReadAt reads the body.
func (w *watchedBody) ReadAt(p []byte, at int64) (int, error) {
	n, err := w.Body.ReadAt(p, at)
	if err != nil && err != io.EOF {
		w.err = err
	}
	return n, err
}
