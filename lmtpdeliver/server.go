// Package lmtpdeliver is the front end of the delivery door: an LMTP server
// (RFC 2033) that makes a point.Transaction of what the MTA delivers, asks the
// door, and gives each recipient its own reply; and the LMTP client to the
// server that keeps the mailboxes.
//
// It holds no rule of certified mail. Whatever goes wrong is a temporary
// failure for every recipient that the door has not answered for, so that the
// MTA's queue keeps the message.
package lmtpdeliver

import (
	"cmp"
	"context"
	"log/slog"
	"net"
	"sync/atomic"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/pec-milter/pec-milter/internal/overload"
	"github.com/pec-milter/pec-milter/internal/point"
	"github.com/pec-milter/pec-milter/internal/spool"
)

// Door decides; *point.DeliveryPoint is the door. An error is a *point.Reply,
// or means: try again (451). It must be safe for concurrent use.
type Door interface {
	// Recipient decides at RCPT; t holds the recipients accepted so far and no
	// message yet.
	Recipient(ctx context.Context, t *point.Transaction, recipient string) error
	// Deliver serves all recipients and gives for each, in their order, nil
	// (250) or the error.
	Deliver(ctx context.Context, t *point.Transaction) []error
}

var _ Door = (*point.DeliveryPoint)(nil)

// Config is what a Server needs.
type Config struct {
	Door  Door
	Clock point.Clock
	Log   *slog.Logger
	// Spool is the room for bodies; nil: the system's directory for temporary
	// files, without bounds.
	Spool *spool.Room
	// MaxSize is the largest body, in bytes, that is taken; a larger one gets
	// 552 5.3.4. It must not be below the message_size_limit of the MTA's queue:
	// what was certified is larger than what was submitted. Zero: 256 MiB.
	MaxSize int64
	// Timeout is how long one transaction may take from MAIL on, and how long a
	// connection may be idle. Zero: 8 minutes, 0.8 of what Postfix waits for the
	// replies (lmtp_data_done_timeout).
	Timeout time.Duration
	// MaxConcurrent is how many messages the door delivers at once. Others wait,
	// at most half of Timeout; then they get 451 and stay in the queue. Zero: no
	// bound.
	MaxConcurrent int
	// MaxConnections is how many connections are open at once; more are closed.
	// Zero: no bound.
	MaxConnections int
	// Replied, if not nil, is told of each reply but 250 to RCPT: the event, the
	// SMTP code, and how long the whole message was worked on (0: there was none
	// yet). It must be safe for concurrent use.
	Replied func(event string, code int, took time.Duration)
}

// Server serves the MTA's connections to the delivery door.
type Server struct {
	config      Config
	library     *smtp.Server
	connections overload.Connections
	places      *overload.Places
	panics      atomic.Int64
	base        context.Context // ends when the server is shut down
	cancel      context.CancelFunc
}

// NewServer makes a server. Door, Clock and Log must be there.
func NewServer(c Config) *Server {
	c.MaxSize = cmp.Or(c.MaxSize, 256<<20)
	c.Timeout = cmp.Or(c.Timeout, 8*time.Minute)
	s := &Server{config: c}
	if c.MaxConcurrent > 0 {
		s.places = overload.NewPlaces(c.MaxConcurrent, c.Timeout/2)
	}
	s.base, s.cancel = context.WithCancel(context.Background())
	s.library = smtp.NewServer(smtp.BackendFunc(s.newSession))
	s.library.LMTP = true
	s.library.Domain = "pec-milter"
	s.library.ErrorLog = slog.NewLogLogger(c.Log.Handler(), slog.LevelWarn)
	s.library.ReadTimeout, s.library.WriteTimeout = c.Timeout, c.Timeout
	// The library's limits are not used: that of a line would hold for the
	// message too, and that of a message leaves the connection out of step.
	s.library.MaxLineLength, s.library.MaxMessageBytes = 0, 0
	return s
}

// Serve takes connections until Shutdown, then returns nil. It closes l.
func (s *Server) Serve(l net.Listener) error {
	l = overload.Listener(l, s.config.MaxConnections, s.config.Log)
	return s.library.Serve(&listener{s.connections.Listener(l)})
}

// Shutdown takes no more connections, closes those that are idle (an MTA keeps
// some for later) and waits until the messages under way have their replies.
// When ctx ends first, it ends the doors' context, closes all connections and
// returns the error of ctx: the MTA tries those messages again.
func (s *Server) Shutdown(ctx context.Context) error {
	defer s.cancel()
	s.connections.CloseIdle()
	err := s.library.Shutdown(ctx)
	if ctx.Err() != nil {
		s.connections.CloseAll()
	}
	return err
}
