package milter

import (
	"context"
	"net"
	"sync"
	"time"
)

// drainListener can stop taking connections before the library is shut down, which
// closes those that it has taken and not yet begun to serve: each would be a 4xx for
// a client. What is not taken waits in the socket, for the next daemon where
// systemd holds that.
type drainListener struct {
	net.Listener
	begun    sync.WaitGroup // without those that were taken and are not served yet
	stopped  chan struct{}  // closed: no more are taken
	ended    chan struct{}  // closed: Accept is not under way any more
	closed   chan struct{}  // closed: the library knows
	stopOnce sync.Once
	endOnce  sync.Once
	shutOnce sync.Once
}

func newDrainListener(l net.Listener) *drainListener {
	return &drainListener{Listener: l, stopped: make(chan struct{}), ended: make(chan struct{}), closed: make(chan struct{})}
}

// Accept gives the next connection. After drain it waits for Close, since the
// library takes an error for a failure until it is shut down.
func (l *drainListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err == nil {
		l.begun.Add(1)
		return &drainConn{Conn: conn, begin: sync.OnceFunc(l.begun.Done)}, nil
	}
	select {
	case <-l.stopped:
		l.end()
		<-l.closed
	default:
	}
	return nil, err
}

// end says that no connection is taken any more.
func (l *drainListener) end() { l.endOnce.Do(func() { close(l.ended) }) }

// Close closes the socket.
func (l *drainListener) Close() error {
	err := l.stop()
	l.shutOnce.Do(func() { close(l.closed) })
	return err
}

func (l *drainListener) stop() (err error) {
	l.stopOnce.Do(func() {
		close(l.stopped)
		err = l.Listener.Close()
	})
	return err
}

// drain takes no more connections, and waits until all that were taken are served.
// There is nothing to do about an error: the socket is not used any more.
func (l *drainListener) drain(ctx context.Context) {
	l.stop()
	select {
	case <-l.ended:
	case <-ctx.Done():
		return
	}
	served := make(chan struct{})
	go func() {
		l.begun.Wait()
		close(served)
	}()
	select {
	case <-served:
	case <-ctx.Done():
	}
}

// firstWord is how long an MTA may take for the first frame. The library's second
// is too short for a busy machine.
const firstWord = 30 * time.Second

// drainConn tells when the library begins to serve it.
type drainConn struct {
	net.Conn
	begin func()
	asked bool // the time for the first frame was set
}

func (c *drainConn) Read(p []byte) (int, error) {
	c.begin()
	return c.Conn.Read(p)
}

// SetReadDeadline gives the first frame more time than the library does.
func (c *drainConn) SetReadDeadline(t time.Time) error {
	if !c.asked && !t.IsZero() {
		t = t.Add(firstWord)
	}
	c.asked = true
	return c.Conn.SetReadDeadline(t)
}

func (c *drainConn) Close() error {
	c.begin()
	return c.Conn.Close()
}
