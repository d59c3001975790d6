package lmtpdeliver

import (
	"errors"
	"net"
	"sync"
)

// connections knows which connections are open and which of them are at work:
// go-smtp waits for all alike when it shuts down. Its zero value is ready.
type connections struct {
	mu      sync.Mutex
	working map[*connection]bool // of all open ones
	closing bool
}

// connection is one connection of the MTA.
type connection struct {
	net.Conn
	all *connections
}

// listener hands out connections that are known.
type listener struct {
	net.Listener
	all *connections
}

// Accept waits for the next connection; after closeIdle there is none.
func (l *listener) Accept() (net.Conn, error) {
	if l.all.isClosing() {
		return nil, errors.Join(net.ErrClosed, l.Close())
	}
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &connection{conn, l.all}
	l.all.set(c, false)
	return c, nil
}

// Write leaves out one line that go-smtp cannot be told to leave out, and that
// it writes by itself: the offer of CHUNKING (RFC 3030) in its reply to LHLO.
func (c *connection) Write(p []byte) (int, error) {
	if string(p) == "250-CHUNKING\r\n" {
		return len(p), nil
	}
	return c.Conn.Write(p)
}

// Close closes the connection and forgets it.
func (c *connection) Close() error {
	c.all.mu.Lock()
	delete(c.all.working, c)
	c.all.mu.Unlock()
	return c.Conn.Close()
}

func (a *connections) isClosing() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.closing
}

// set notes whether a connection is at work. One that comes to rest while the
// server is shutting down is closed.
func (a *connections) set(c *connection, working bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.working == nil {
		a.working = make(map[*connection]bool)
	}
	a.working[c] = working
	if a.closing && !working {
		c.Conn.Close()
	}
}

// closeIdle closes the connections that are not at work, now and from now on.
func (a *connections) closeIdle() { a.close(false) }

// closeAll closes all connections.
func (a *connections) closeAll() { a.close(true) }

func (a *connections) close(all bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.closing = true
	for c, working := range a.working {
		if all || !working {
			c.Conn.Close()
		}
	}
}
