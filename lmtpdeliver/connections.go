package lmtpdeliver

import (
	"net"

	"github.com/pec-milter/pec-milter/internal/overload"
)

// connection is one connection of the MTA.
type connection struct{ *overload.Connection }

// listener hands them out. The one in it gives connections that are known: go-smtp
// waits for all alike when it shuts down.
type listener struct{ net.Listener }

// Accept waits for the next connection.
func (l *listener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &connection{conn.(*overload.Connection)}, nil
}

// Write leaves out one line that go-smtp cannot be told to leave out, and that
// it writes by itself: the offer of CHUNKING (RFC 3030) in its reply to LHLO.
func (c *connection) Write(p []byte) (int, error) {
	if string(p) == "250-CHUNKING\r\n" {
		return len(p), nil
	}
	return c.Connection.Write(p)
}
