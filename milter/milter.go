// Package milter is the front end of the access and the incoming door: it
// translates what an MTA tells by the milter protocol (version 6, as Postfix
// and Sendmail speak it) into a point.Transaction, asks the door, and
// translates the point.Verdict back into changes of the message.
//
// It holds no rule of certified mail. It is careful about three things: the
// message reaches the door byte for byte; no frame and no panic of a door ends
// the process (a listener of ours looks at every frame first); and whatever
// goes wrong is a temporary failure, so that the mail stays with its sender.
package milter

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	gomilter "github.com/d--j/go-milter"

	"github.com/pec-milter/pec-milter/internal/overload"
	"github.com/pec-milter/pec-milter/internal/point"
	"github.com/pec-milter/pec-milter/internal/spool"
)

// Door decides; *point.Access and *point.Incoming are doors. An error is a
// *point.Reply, or means: try again (451). It must be safe for concurrent use.
type Door interface {
	// Mail decides at MAIL; the transaction has no recipient and no message yet.
	Mail(ctx context.Context, t *point.Transaction) (point.Handling, error)
	// Recipient decides at RCPT; t holds the recipients accepted so far. All
	// recipients of one transaction are handled alike.
	Recipient(ctx context.Context, t *point.Transaction, recipient string) (point.Handling, error)
	// Handle decides at the end of the message. Its context ends when the time
	// is over; what it returns after that is dropped.
	Handle(ctx context.Context, t *point.Transaction) (*point.Verdict, error)
}

// Config is what a Server needs.
type Config struct {
	Door  Door
	Clock point.Clock
	Log   *slog.Logger
	// ContentTimeout is how long the MTA waits for the answer at the end of a
	// message: Postfix's milter_content_timeout, E= of T= in Sendmail's
	// MAIL_FILTER. We give up, with 451, after 0.8 of it. Zero: 5 minutes, the
	// default of both.
	ContentTimeout time.Duration
	// Spool is the room for bodies; nil: the system's directory for temporary
	// files, without bounds.
	Spool *spool.Room
	// MaxSize is the largest body, in bytes, that is taken; a larger one gets
	// 552 5.3.4. Zero: 128 MiB.
	MaxSize int64
	// MaxConcurrent is how many messages the door is asked about at once, at
	// their end. Others wait, at most half of our time: who has waited longer
	// could not be done in the rest. Then they get 451. Zero: no bound.
	MaxConcurrent int
	// MaxConnections is how many connections are open at once; more are closed.
	// Zero: no bound.
	MaxConnections int
	// Replied, if not nil, is told of each reply but 250 to MAIL, RCPT and DATA: the
	// event, the SMTP code, and how long the whole message was worked on (0: there
	// was none yet). It must be safe for concurrent use.
	Replied func(event string, code int, took time.Duration)
}

// commandTimeout bounds a door's answer at MAIL and RCPT: 0.8 of what Postfix
// (milter_command_timeout) grants by default.
const commandTimeout = 24 * time.Second

// actions are what we do to messages.
const actions = gomilter.OptAddHeader | gomilter.OptChangeHeader | gomilter.OptChangeBody |
	gomilter.OptAddRcpt | gomilter.OptAddRcptWithArgs | gomilter.OptRemoveRcpt

// protocol leaves out what we do not look at, and the answers that nobody needs:
// those to HELO, header fields and body chunks. Without the leading space the
// original header could not be put together again.
const protocol = gomilter.OptNoConnect | gomilter.OptNoHeloReply | gomilter.OptNoUnknown | gomilter.OptNoEOH |
	gomilter.OptNoHeaderReply | gomilter.OptNoBodyReply | gomilter.OptHeaderLeadingSpace

// Server serves the MTA's connections to one door. There is one Server for
// each socket: the socket tells the door.
type Server struct {
	config  Config
	library *gomilter.Server
	base    context.Context // ends when the server is shut down
	cancel  context.CancelFunc
	working sync.WaitGroup // what goes on beside the callbacks
	places  *overload.Places
	panics  atomic.Int64

	mu        sync.Mutex
	listeners []*drainListener
}

// NewServer makes a server. Door, Clock and Log must be there.
func NewServer(c Config) *Server {
	c.ContentTimeout = cmp.Or(c.ContentTimeout, 5*time.Minute)
	c.MaxSize = cmp.Or(c.MaxSize, 128<<20)
	s := &Server{config: c}
	if c.MaxConcurrent > 0 {
		s.places = overload.NewPlaces(c.MaxConcurrent, s.deadline()/2)
	}
	s.base, s.cancel = context.WithCancel(context.Background())
	s.library = gomilter.NewServer(
		gomilter.WithActions(actions),
		gomilter.WithProtocols(protocol),
		gomilter.WithMilter(func() gomilter.Milter { return &session{server: s} }))
	return s
}

// Serve takes connections until Shutdown, then returns nil. It closes l.
func (s *Server) Serve(l net.Listener) error {
	drained := newDrainListener(overload.Listener(guard(l, s.config.Log), s.config.MaxConnections, s.config.Log))
	s.mu.Lock()
	s.listeners = append(s.listeners, drained)
	s.mu.Unlock()
	defer drained.end()
	err := s.library.Serve(drained)
	if errors.Is(err, gomilter.ErrServerClosed) { // Shutdown came first
		return drained.Close()
	}
	return err
}

// Shutdown takes no more connections and waits until those that there are have
// ended and no door is working any more. When ctx ends first, it closes the
// connections (the MTA gives a temporary failure), tells the doors by their
// context, and returns the error of ctx.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	listeners := s.listeners
	s.mu.Unlock()
	for _, l := range listeners {
		l.drain(ctx)
	}
	err := s.library.Shutdown(ctx)
	s.cancel()
	if err != nil {
		return err
	}
	idle := make(chan struct{})
	go func() {
		s.working.Wait()
		close(idle)
	}()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// deadline is how long we work at the end of a message.
func (s *Server) deadline() time.Duration { return s.config.ContentTimeout * 8 / 10 }
