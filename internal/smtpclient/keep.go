package smtpclient

import (
	"slices"
	"sync"
	"time"

	"github.com/emersion/go-smtp"
)

// keepTime is how long a connection waits for the next message. It is far below
// what servers wait for a command (Postfix 300 s, and 10 s under stress), and far
// above the time between two messages where it matters.
const keepTime = 5 * time.Second

// Kept is how many connections usually wait for the next message (Server.Keep): under
// load that is there at once, and a connection is work for the server too. Dovecot makes
// a process for each.
const Kept = 8

// maxServed is how many messages a connection takes: a server that was told to read its
// settings again may serve the connections it has by a process that has the old ones.
const maxServed = 100

// quitTimeout bounds the good-bye: the message is the server's by then, and
// nothing depends on the answer.
const quitTimeout = 5 * time.Second

// connection is a connection to a server.
type connection struct {
	*smtp.Client
	served  int // messages
	greeted bool
	ended   bool // it is closed, or about to be
	expire  *time.Timer
}

func (c *connection) greet(name string) error {
	if c.greeted {
		return nil
	}
	c.greeted = true
	return c.Hello(name)
}

// quit says good-bye; what was done before is what counts.
func (c *connection) quit() {
	c.CommandTimeout = quitTimeout
	_ = c.Quit()
	c.Close()
}

// idle are connections that wait for a message. Its zero value has none.
type idle struct {
	mu   sync.Mutex
	open []*connection
}

// take gives the one that waits for the shortest time; nil if none does.
func (i *idle) take() *connection {
	i.mu.Lock()
	defer i.mu.Unlock()
	last := len(i.open) - 1
	if last < 0 {
		return nil
	}
	c := i.open[last]
	i.open = i.open[:last]
	c.expire.Stop()
	return c
}

// keep lets a connection wait, if that is not one too many; else it ends.
func (i *idle) keep(c *connection, most int) {
	i.mu.Lock()
	c.served++
	full := c.ended || len(i.open) >= most || c.served >= maxServed
	if !full {
		c.expire = time.AfterFunc(keepTime, func() { i.end(c) })
		i.open = append(i.open, c)
	}
	i.mu.Unlock()
	if full {
		c.quit()
	}
}

// end ends a connection unless it was taken in time.
func (i *idle) end(c *connection) {
	if i.remove(c) {
		c.quit()
	}
}

func (i *idle) remove(c *connection) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	at := slices.Index(i.open, c)
	if at < 0 {
		return false
	}
	i.open = slices.Delete(i.open, at, at+1)
	return true
}

// Close ends the connections that wait. The server can still be used.
func (s *Server) Close() {
	for c := s.idle.take(); c != nil; c = s.idle.take() {
		c.quit()
	}
}
