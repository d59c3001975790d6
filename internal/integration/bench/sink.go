package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/emersion/go-smtp"
)

// sink is where all mail ends: an LMTP server that takes everything, keeps nothing
// and counts.
type sink struct {
	dir    string
	server *smtp.Server

	mu    sync.Mutex
	taken int           // recipients
	last  time.Time     // when the last one was taken
	more  chan struct{} // closed when one more is taken
}

// startSink starts a sink on a unix socket that Postfix can reach.
func startSink() (*sink, error) {
	dir, err := os.MkdirTemp("/tmp", "sink")
	if err != nil {
		return nil, err
	}
	s := &sink{dir: dir, more: make(chan struct{})}
	s.server = smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return &delivery{sink: s}, nil }))
	s.server.LMTP, s.server.Domain = true, "sink.example"
	listener, err := net.Listen("unix", s.socket())
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	go s.server.Serve(listener) // until close
	return s, errors.Join(os.Chmod(dir, 0o755), os.Chmod(s.socket(), 0o666))
}

func (s *sink) socket() string { return filepath.Join(s.dir, "lmtp") }

func (s *sink) close() error { return errors.Join(s.server.Close(), os.RemoveAll(s.dir)) }

func (s *sink) take(recipients int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.taken, s.last = s.taken+recipients, time.Now()
	close(s.more)
	s.more = make(chan struct{})
}

func (s *sink) state() (taken int, last time.Time, more <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.taken, s.last, s.more
}

// count is how many recipients were served so far.
func (s *sink) count() int {
	taken, _, _ := s.state()
	return taken
}

// wait waits until the count is there, and gives the time of the last delivery.
// More than that is an error: something was delivered twice.
func (s *sink) wait(count int, limit time.Duration) (time.Time, error) {
	end := time.After(limit)
	for {
		taken, last, more := s.state()
		if taken == count {
			return last, nil
		}
		if taken > count {
			return last, fmt.Errorf("the sink got %d deliveries more than are due", taken-count)
		}
		select {
		case <-more:
		case <-end:
			return last, fmt.Errorf("the sink still waits for %d deliveries after %v", count-taken, limit)
		}
	}
}

// delivery is an LMTP transaction.
type delivery struct {
	sink       *sink
	recipients int
}

// Mail is smtp.Session's.
func (d *delivery) Mail(string, *smtp.MailOptions) error { return nil }

// Rcpt is smtp.Session's.
func (d *delivery) Rcpt(string, *smtp.RcptOptions) error {
	d.recipients++
	return nil
}

// Data is smtp.Session's.
func (d *delivery) Data(message io.Reader) error {
	if _, err := io.Copy(io.Discard, message); err != nil {
		return err
	}
	d.sink.take(d.recipients)
	return nil
}

// Reset is smtp.Session's.
func (d *delivery) Reset() { d.recipients = 0 }

// Logout is smtp.Session's.
func (d *delivery) Logout() error { return nil }
