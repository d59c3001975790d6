package fault

import (
	"bytes"
	"context"
	"encoding/binary"
	"net"
	"sync/atomic"
)

// Listener puts the points at a door's socket around its connections; door is
// "access", "incoming" (milter) or "delivery" (LMTP).
func (i *Injection) Listener(door string, l net.Listener) net.Listener {
	return listener{l, i, door}
}

type listener struct {
	net.Listener
	i    *Injection
	door string
}

func (l listener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	s := socket{conn, l.i, l.door}
	if l.door == "delivery" {
		return &lmtpConn{socket: s}, nil
	}
	return &milterConn{socket: s}, nil
}

// socket is a connection that may break at a point.
type socket struct {
	net.Conn
	i    *Injection
	door string
}

// reach makes the fault that is due at a point of the door. With an error the
// connection is closed: the other side sees it break.
func (s socket) reach(point string) error {
	err := s.i.reach(context.Background(), point)
	if err != nil {
		s.Close()
	}
	return err
}

// write writes with a point before and one after.
func (s socket) write(name string, p []byte) (int, error) {
	if err := s.reach(before(name)); err != nil {
		return 0, err
	}
	n, err := s.Conn.Write(p)
	if lost := s.reach(after(name)); lost != nil {
		return n, lost
	}
	return n, err
}

// milterConn sees the frames of the milter protocol pass: their length in four
// bytes, then a letter.
type milterConn struct {
	socket
	in, out frames
	ended   atomic.Bool // the MTA has shown the whole message, and has no answer yet
}

func (c *milterConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if bytes.IndexByte(c.in.pass(p[:n]), 'E') >= 0 {
		c.ended.Store(true)
		if err := c.reach(c.door + endOfMessage); err != nil {
			return 0, err
		}
	}
	return n, err
}

// Write gets a frame's head and its data one after the other: the library writes
// them so.
func (c *milterConn) Write(p []byte) (int, error) {
	begun := c.out.pass(p)
	switch {
	case c.ended.Load() && bytes.Equal(begun, []byte{'a'}):
		c.ended.Store(false)
		return c.write(c.door+accept, p)
	case c.out.letter == 'b' && len(begun) == 0:
		return c.writeHalves(p)
	}
	return c.Conn.Write(p)
}

func (c *milterConn) writeHalves(p []byte) (int, error) {
	n, err := c.Conn.Write(p[:len(p)/2])
	if err != nil {
		return n, err
	}
	if err := c.reach(c.door + newBody); err != nil {
		return n, err
	}
	rest, err := c.Conn.Write(p[n:])
	return n + rest, err
}

// frames follows the frames in a stream of bytes.
type frames struct {
	head   []byte // of the next frame, as far as it has passed
	rest   int    // bytes of the present frame that have not passed
	letter byte   // of the last frame
}

// pass takes the next bytes, and gives the letters of the frames that begin in
// them.
func (f *frames) pass(p []byte) (begun []byte) {
	for len(p) > 0 {
		if f.rest > 0 {
			n := min(f.rest, len(p))
			f.rest, p = f.rest-n, p[n:]
			continue
		}
		f.head, p = append(f.head, p[0]), p[1:]
		if len(f.head) == 5 {
			f.letter, f.rest = f.head[4], int(binary.BigEndian.Uint32(f.head))-1
			f.head = f.head[:0]
			begun = append(begun, f.letter)
		}
	}
	return begun
}

// lmtpConn sees the replies to a message: what is written after a 354, once the
// message was read, until something else is read.
type lmtpConn struct {
	socket
	data, replying bool
}

func (c *lmtpConn) Read(p []byte) (int, error) {
	c.replying = false
	return c.Conn.Read(p)
}

func (c *lmtpConn) Write(p []byte) (int, error) {
	switch {
	case bytes.HasPrefix(p, []byte("354")):
		c.data = true
	case c.data:
		c.data, c.replying = false, true
	}
	if !c.replying {
		return c.Conn.Write(p)
	}
	return c.write(c.door+reply, p)
}
