package overload

import (
	"errors"
	"net"
	"sync"
)

// Connections knows which connections of a server are open and which of them are at
// work: a shutdown ends those that are not, and waits for the others. Its zero value is
// ready.
type Connections struct {
	mu      sync.Mutex
	working map[*Connection]bool // of all open ones
	closing bool
}

// Connection is one of them. It rests until it is said to work.
type Connection struct {
	net.Conn
	all *Connections
}

// Listener gives the connections of l as *Connection; after CloseIdle it gives none, and
// closes l.
func (a *Connections) Listener(l net.Listener) net.Listener { return &knownListener{l, a} }

type knownListener struct {
	net.Listener
	all *Connections
}

// Accept waits for the next connection.
func (l *knownListener) Accept() (net.Conn, error) {
	if l.all.isClosing() {
		return nil, errors.Join(net.ErrClosed, l.Close())
	}
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &Connection{conn, l.all}
	c.Working(false)
	return c, nil
}

// Close closes the connection and forgets it.
func (c *Connection) Close() error {
	c.all.mu.Lock()
	delete(c.all.working, c)
	c.all.mu.Unlock()
	return c.Conn.Close()
}

// Working notes whether the connection is at work. One that comes to rest during a
// shutdown is closed.
func (c *Connection) Working(working bool) {
	a := c.all
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.working == nil {
		a.working = make(map[*Connection]bool)
	}
	a.working[c] = working
	if a.closing && !working {
		c.Conn.Close()
	}
}

func (a *Connections) isClosing() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.closing
}

// CloseIdle closes the connections that are not at work, now and from now on.
func (a *Connections) CloseIdle() { a.close(false) }

// CloseAll closes all connections.
func (a *Connections) CloseAll() { a.close(true) }

func (a *Connections) close(all bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.closing = true
	for c, working := range a.working {
		if all || !working {
			c.Conn.Close()
		}
	}
}
