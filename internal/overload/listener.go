package overload

import (
	"log/slog"
	"net"
	"sync"
)

// Listener gives at most max connections of l at once. One more is closed at
// once: its MTA gives a temporary failure. That is logged when it begins, and
// when it is over. Zero: no bound.
func Listener(l net.Listener, max int, log *slog.Logger) net.Listener {
	if max == 0 {
		return l
	}
	return &listener{Listener: l, max: max, log: log}
}

type listener struct {
	net.Listener
	max int
	log *slog.Logger

	mu      sync.Mutex
	open    int
	refused int // since the bound was reached; zero: it is not
}

// Accept waits for a connection that there is room for.
func (l *listener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if l.enter() {
			return &connection{Conn: conn, listener: l}, nil
		}
		conn.Close()
	}
}

// enter counts a new connection, or refuses it.
func (l *listener) enter() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open < l.max {
		l.open++
		return true
	}
	if l.refused++; l.refused == 1 {
		l.log.Error("too many connections: more are closed at once until some end",
			"socket", l.Addr().String(), "open", l.open, "setting", "mta.max_connections")
	}
	return false
}

// leave counts a connection that has ended. The end of the shortage is told when
// a quarter of the connections have gone: one by one it would come and go.
func (l *listener) leave() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open--
	if l.refused > 0 && l.open <= l.max*3/4 {
		l.log.Info("connections are taken again", "socket", l.Addr().String(), "refused", l.refused)
		l.refused = 0
	}
}

type connection struct {
	net.Conn
	listener *listener
	once     sync.Once
}

// Close may be called again.
func (c *connection) Close() error {
	c.once.Do(c.listener.leave)
	return c.Conn.Close()
}
