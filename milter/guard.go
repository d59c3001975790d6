package milter

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"time"
)

// The bounds of a frame, in bytes, command letter included. The largest that
// the protocol knows is 1 MiB, for a header field or a piece of the body.
const (
	maxFrame   = 1 << 20
	maxCommand = 64 << 10
)

// guardedListener gives connections whose frames are looked at before the
// milter library sees them. The library trusts its peer: an empty frame, or one
// without an expected NUL, panics in a goroutine of the library and so ends the
// process; it allocates up to 512 MiB because a length says so; and it drops
// what comes with an end of body, which would cut the message short.
type guardedListener struct {
	net.Listener
	log *slog.Logger
}

func guard(l net.Listener, log *slog.Logger) net.Listener { return guardedListener{l, log} }

// Accept waits while there is a passing shortage (of file descriptors, say)
// rather than give up serving.
func (l guardedListener) Accept() (net.Conn, error) {
	for delay := 5 * time.Millisecond; ; delay = min(2*delay, time.Second) {
		conn, err := l.Listener.Accept()
		if err == nil {
			return newGuardedConn(conn, l.log), nil
		}
		var passing interface{ Temporary() bool }
		if !errors.As(err, &passing) || !passing.Temporary() {
			return nil, err
		}
		l.log.Error("taking a milter connection", "error", err, "retry_in", delay)
		time.Sleep(delay)
	}
}

// guardedConn lets only well-formed frames through. A frame of the body is not
// looked into and passes without being copied; any other one is read whole.
type guardedConn struct {
	net.Conn
	log     *slog.Logger
	in      *bufio.Reader
	checked []byte // of the present frame: may be read
	rest    int    // of the present frame: bytes behind checked, still in the connection
}

func newGuardedConn(conn net.Conn, log *slog.Logger) *guardedConn {
	return &guardedConn{Conn: conn, log: log, in: bufio.NewReader(quickAck(conn))}
}

func (c *guardedConn) Read(p []byte) (int, error) {
	if len(c.checked) == 0 && c.rest == 0 {
		if err := c.next(); err != nil {
			return 0, err
		}
	}
	if len(c.checked) > 0 {
		n := copy(p, c.checked)
		c.checked = c.checked[n:]
		return n, nil
	}
	n, err := c.in.Read(p[:min(len(p), c.rest)])
	c.rest -= n
	return n, err
}

// next reads the next frame as far as it must be looked at. A bad one ends the
// connection: the MTA then gives a temporary failure.
func (c *guardedConn) next() error {
	var frame badFrame
	err := c.readFrame()
	if errors.As(err, &frame) {
		c.log.Error("bad milter frame, connection closed", "peer", c.RemoteAddr().String(), "error", err)
		return errors.Join(net.ErrClosed, c.Close())
	}
	return err
}

// badFrame says what is wrong with a frame.
type badFrame string

func (b badFrame) Error() string { return string(b) }

func (c *guardedConn) readFrame() error {
	head := make([]byte, 4, 64)
	if _, err := io.ReadFull(c.in, head); err != nil {
		return err
	}
	length := binary.BigEndian.Uint32(head)
	if length == 0 || length > maxFrame {
		return badFrame(fmt.Sprintf("length is %d, must be 1 to %d", length, maxFrame))
	}
	command, err := c.in.ReadByte()
	if err != nil {
		return err
	}
	frame := append(head, command)
	size := int(length) - 1
	if command == 'B' {
		c.checked, c.rest = frame, size
		return nil
	}
	if size >= maxCommand && command != 'L' {
		return badFrame(fmt.Sprintf("command %q has %d bytes, more than %d", command, size, maxCommand))
	}
	frame = append(frame, make([]byte, size)...)
	if _, err := io.ReadFull(c.in, frame[5:]); err != nil {
		return err
	}
	if err := checkFrame(command, frame[5:]); err != nil {
		return err
	}
	c.checked = frame
	return nil
}

// checkFrame tells whether the data of a command has the form that the library
// takes for granted.
func checkFrame(command byte, data []byte) error {
	ended := bytes.HasSuffix(data, []byte{0})
	good := false
	switch command {
	case 'C': // host name, NUL, address family
		end := bytes.IndexByte(data, 0)
		good = end >= 0 && end+1 < len(data)
	case 'H', 'M', 'R', 'U': // strings, each with its NUL
		good = ended
	case 'L': // name and value
		good = ended && bytes.Count(data, []byte{0}) == 2
	case 'D': // the command that the macros belong to
		good = len(data) > 0
	case 'E', 'N', 'T', 'A', 'Q', 'K':
		good = len(data) == 0
	case 'O': // version, actions, protocol
		good = len(data) >= 12
	default:
		return badFrame(fmt.Sprintf("unknown command %q", command))
	}
	if !good {
		return badFrame(fmt.Sprintf("command %q has malformed data of %d bytes", command, len(data)))
	}
	return nil
}
