package lifetime

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/pec-milter/pec-milter/internal/overload"
)

// Config is what a Server works with. All fields are needed.
type Config struct {
	// Expired is asked for each recipient; it must be safe for concurrent use.
	Expired        func(ctx context.Context, queueID, recipient string) (bool, error)
	Now            func() time.Time // for deadlines: never moved, as a provider's clock may be
	MaxConnections int              // open at once; more are closed. 0: no bound
	Log            *slog.Logger
}

// Server answers a Sendmail's questions, each connection by itself.
type Server struct {
	config      Config
	connections overload.Connections
	open        sync.WaitGroup
	serving     context.Context // until Shutdown begins
	stop        context.CancelFunc
	answering   context.Context // until Shutdown gives up
	cutOff      context.CancelFunc
}

// NewServer makes a server that serves nothing yet.
func NewServer(c Config) *Server {
	s := &Server{config: c}
	s.serving, s.stop = context.WithCancel(context.Background())
	s.answering, s.cutOff = context.WithCancel(context.Background())
	return s
}

// Serve answers on the connections of a listener, and closes it at the end. After
// Shutdown it gives nil.
func (s *Server) Serve(l net.Listener) error {
	l = s.connections.Listener(overload.Listener(l, s.config.MaxConnections, s.config.Log))
	defer l.Close()
	defer context.AfterFunc(s.serving, func() { l.Close() })()
	for {
		conn, err := l.Accept()
		switch {
		case errors.Is(err, net.ErrClosed) && s.serving.Err() != nil:
			return nil
		case err != nil:
			return err
		}
		s.open.Go(func() { s.answer(conn.(*overload.Connection)) })
	}
}

// Shutdown takes no more questions and waits for the answers under way; when ctx is
// done before, they are cut off, and its error is given.
func (s *Server) Shutdown(ctx context.Context) error {
	s.stop()
	s.connections.CloseIdle()
	defer s.cutOff()
	ended := make(chan struct{})
	go func() { s.open.Wait(); close(ended) }()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
	}
	s.cutOff()
	s.connections.CloseAll()
	return ctx.Err()
}

// How long a client may be silent between two questions, and how long a question and
// its answer may take. Sendmail keeps a connection for as long as a process lives.
const (
	idleTime     = time.Hour
	questionTime = 10 * time.Second
)

// answer serves one connection until its end.
func (s *Server) answer(conn *overload.Connection) {
	defer func() {
		if p := recover(); p != nil {
			s.config.Log.Error("panic in the lifetime socket: the connection is closed", "panic", p, "stack", string(debug.Stack()))
		}
		conn.Close()
	}()
	in := bufio.NewReaderSize(conn, 16)
	for {
		conn.Working(false)
		_ = conn.SetDeadline(s.config.Now().Add(idleTime)) // a connection that is gone fails at once below
		if _, err := in.Peek(1); err != nil {
			return
		}
		conn.Working(true)
		_ = conn.SetDeadline(s.config.Now().Add(questionTime))
		question, err := readNetstring(in)
		if err != nil {
			s.config.Log.Warn("bad question at the lifetime socket, connection closed", "error", err)
			return
		}
		if _, err := io.WriteString(conn, netstring(s.reply(question))); err != nil {
			return
		}
	}
}

// reply answers "map queueid/recipient". Whatever is in doubt is a temporary failure:
// the mail stays in the queue.
func (s *Server) reply(question string) string {
	_, key, _ := strings.Cut(question, " ")
	queueID, recipient, found := strings.Cut(key, "/")
	if !found {
		return "TEMP no question of the form MAP QUEUEID/RECIPIENT"
	}
	ctx, cancel := context.WithTimeout(s.answering, questionTime/2)
	defer cancel()
	expired, err := s.config.Expired(ctx, queueID, recipient)
	switch {
	case err != nil:
		s.config.Log.Error("lifetime not known: the mail stays in the queue", "queue_id", queueID, "error", err)
		return "TEMP not known now"
	case !expired:
		s.config.Log.Debug("24 hours are not over", "queue_id", queueID, "recipient", recipient)
		return "OK LIVE"
	}
	s.config.Log.Info("24 hours are over", "queue_id", queueID, "recipient", recipient)
	return "OK EXPIRED"
}
