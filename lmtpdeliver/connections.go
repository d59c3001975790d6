package lmtpdeliver

import (
	"bufio"
	"bytes"
	"net"

	"github.com/pec-milter/pec-milter/internal/overload"
)

// connection is one connection of the MTA. go-smtp reads its commands, the session its
// messages.
type connection struct {
	*overload.Connection
	in    *bufio.Reader
	ended bool // the session has read a message to its end, which go-smtp has yet to see
}

// listener hands them out. The one in it gives connections that are known: go-smtp
// waits for all alike when it shuts down.
type listener struct{ net.Listener }

// Accept waits for the next connection.
func (l *listener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	known := conn.(*overload.Connection)
	return &connection{Connection: known, in: bufio.NewReaderSize(known, 32<<10)}, nil
}

// Read gives go-smtp one line at a time, at most: what comes behind DATA is not in its
// buffer when the session reads it.
func (c *connection) Read(p []byte) (int, error) {
	if c.ended {
		c.ended = false
		return copy(p, endOfData), nil
	}
	come, err := arrived(c.in)
	if err != nil {
		return 0, err
	}
	if end := bytes.IndexByte(come, '\n'); end >= 0 {
		come = come[:end+1]
	}
	return c.in.Discard(copy(p, come))
}

// arrived is what has come, without reading it; it waits for the first byte alone.
func arrived(in *bufio.Reader) ([]byte, error) {
	if _, err := in.Peek(1); err != nil {
		return nil, err
	}
	return in.Peek(in.Buffered())
}

// Write leaves out one line that go-smtp cannot be told to leave out, and that
// it writes by itself: the offer of CHUNKING (RFC 3030) in its reply to LHLO.
func (c *connection) Write(p []byte) (int, error) {
	if string(p) == "250-CHUNKING\r\n" {
		return len(p), nil
	}
	return c.Connection.Write(p)
}
