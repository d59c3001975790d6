package milter

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	gomilter "github.com/d--j/go-milter"

	"github.com/pec-milter/pec-milter/internal/point"
)

// pipes is a network in memory, of which the fake clock of a synctest bubble
// knows.
type pipes chan net.Conn

func (p pipes) Dial(string, string) (net.Conn, error) {
	client, server := net.Pipe()
	p <- server
	return client, nil
}

func (p pipes) Accept() (net.Conn, error) {
	conn, ok := <-p
	if !ok {
		return nil, net.ErrClosed
	}
	return conn, nil
}

func (p pipes) Close() error { close(p); return nil }

func (p pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

// cable is a network with one connection, which can be cut.
type cable struct {
	pipes
	conn net.Conn
}

func (c *cable) Dial(network, address string) (conn net.Conn, err error) {
	c.conn, err = c.pipes.Dial(network, address)
	return c.conn, err
}

// RS-12: when the door takes too long the answer is a temporary failure, and what the
// door does after that has no effect; it can still read the message.
func TestDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var sent atomic.Bool
		zombie := make(chan string)
		door := &fakeDoor{handle: func(ctx context.Context, tr *point.Transaction) (*point.Verdict, error) {
			if tr.ReversePath == "next@alfa.example" {
				return &point.Verdict{}, nil
			}
			<-ctx.Done()
			time.Sleep(time.Hour)
			replacement, err := signed(tr.Message)
			zombie <- read(tr.Message.Body)
			return &point.Verdict{Replace: replacement, Sent: func(context.Context, time.Time) error { sent.Store(true); return nil }}, err
		}}
		network, logged := make(pipes), &lockedBuffer{}
		startServer(t, network, door, logged, func(c *Config) { c.ContentTimeout = 100 * time.Second })
		m := connect(t, "", gomilter.WithDialer(network), gomilter.WithReadTimeout(2*time.Second))
		msg := simple()
		msg.body = strings.Repeat("0123456789", 1<<18)
		start := time.Now()
		if a := m.send(msg); a.reply != temporary || len(a.changes) != 0 {
			t.Errorf("answer is %+v, want %q", a, temporary)
		}
		if took := time.Since(start); took < 80*time.Second || took > 81*time.Second {
			t.Errorf("the answer took %v, want 80s", took)
		}
		next := simple()
		next.sender = "next@alfa.example"
		if a := m.send(next); a.reply != "accept" {
			t.Errorf("the next answer is %q, want accept", a.reply)
		}
		if got := <-zombie; got != msg.body {
			t.Errorf("after the deadline the door reads %d bytes, want %d", len(got), len(msg.body))
		}
		synctest.Wait()
		if sent.Load() {
			t.Error("Sent was called after the deadline")
		}
		if !strings.Contains(logged.String(), "no decision in time") {
			t.Errorf("log does not tell the cause:\n%s", logged)
		}
	})
}

// The deadline holds also while the new body is on its way. (RS-12)
func TestDeadlineWhileWriting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		door := &fakeDoor{handle: func(_ context.Context, tr *point.Transaction) (*point.Verdict, error) {
			return replaceThen(tr, func() error { time.Sleep(3 * time.Second); return nil })
		}}
		network := make(pipes)
		startServer(t, network, door, io.Discard, func(c *Config) { c.ContentTimeout = 1000 * time.Second })
		m := connect(t, "", gomilter.WithDialer(network), gomilter.WithReadTimeout(5*time.Second))
		msg := simple()
		msg.body = strings.Repeat("x", 400*maxChunk)
		start := time.Now()
		if a := m.send(msg); a.reply != temporary {
			t.Errorf("answer is %q, want %q", a.reply, temporary)
		}
		if took := time.Since(start); took > 810*time.Second {
			t.Errorf("the answer took %v, want 800s", took)
		}
	})
}

// An MTA that waits 2 s for a packet waits for a door that takes longer.
func TestProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		door := &fakeDoor{handle: func(context.Context, *point.Transaction) (*point.Verdict, error) {
			time.Sleep(time.Minute)
			return &point.Verdict{Sent: func(context.Context, time.Time) error { time.Sleep(time.Minute); return nil }}, nil
		}}
		network := make(pipes)
		startServer(t, network, door, io.Discard)
		m := connect(t, "", gomilter.WithDialer(network), gomilter.WithReadTimeout(2*time.Second))
		if a := m.send(simple()); a.reply != "accept" {
			t.Errorf("answer is %q, want accept", a.reply)
		}
	})
}

// A door is told when the MTA has gone away.
func TestMTAGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		told := make(chan struct{})
		door := &fakeDoor{handle: func(ctx context.Context, _ *point.Transaction) (*point.Verdict, error) {
			<-ctx.Done()
			close(told)
			return nil, ctx.Err()
		}}
		network := &cable{pipes: make(pipes)}
		startServer(t, network, door, io.Discard)
		m := connect(t, "", gomilter.WithDialer(network))
		m.Mail("a@b", "")
		m.Rcpt("c@d", "")
		m.DataStart()
		m.HeaderEnd()
		ended := make(chan error)
		go func() {
			_, _, err := m.BodyReadFrom(strings.NewReader("x"))
			ended <- err
		}()
		synctest.Wait()
		start := time.Now()
		network.conn.Close()
		<-told
		<-ended
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("the door was told after %v, want at most 2s", took)
		}
	})
}

// Shutdown lets a message in flight finish, and ends the rest when its time is
// over.
func TestShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		door := &fakeDoor{handle: func(context.Context, *point.Transaction) (*point.Verdict, error) {
			time.Sleep(10 * time.Second)
			return &point.Verdict{}, nil
		}}
		network := make(pipes)
		server := NewServer(Config{Door: door, Clock: time.Now, Log: discard()})
		served := make(chan error, 1)
		go func() { served <- server.Serve(network) }()
		m := connect(t, "", gomilter.WithDialer(network), gomilter.WithReadTimeout(time.Minute))
		stopped := make(chan error, 1)
		go func() {
			time.Sleep(time.Second)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			stopped <- server.Shutdown(ctx)
		}()
		if a := m.send(simple()); a.reply != "accept" {
			t.Errorf("answer during Shutdown is %q, want accept", a.reply)
		}
		m.Close()
		if err := <-stopped; err != nil {
			t.Errorf("Shutdown() = %v", err)
		}
		if err := <-served; err != nil {
			t.Errorf("Serve() = %v", err)
		}
	})
}

func TestShutdownTimeIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log.SetOutput(io.Discard) // the library tells that it cannot read any more
		defer log.SetOutput(os.Stderr)
		network := make(pipes)
		server := NewServer(Config{Door: &fakeDoor{}, Clock: time.Now, Log: discard()})
		go server.Serve(network)
		m := connect(t, "", gomilter.WithDialer(network))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := server.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Shutdown() = %v, want %v", err, context.DeadlineExceeded)
		}
		if _, err := m.Mail("a@b", ""); err == nil {
			t.Error("the connection lives on after Shutdown")
		}
		synctest.Wait()
	})
}
