package milter

import (
	"context"
	"errors"
	"fmt"
	"time"

	gomilter "github.com/d--j/go-milter"

	"github.com/pec-milter/pec-milter/internal/point"
)

// progressInterval is how often the MTA is told that we are still working.
const progressInterval = time.Second

// decide asks the door about the complete message and carries out its verdict.
func (s *session) decide(ctx context.Context, m gomilter.Modifier) (*gomilter.Response, error) {
	t := s.t
	if err := t.complete(s.server.config.Clock); err != nil {
		return nil, err
	}
	verdict, err := s.ask(ctx, m)
	switch {
	case err != nil:
		return nil, err
	case verdict == nil:
		return nil, errors.New("door gave no verdict")
	case verdict.Discard:
		return gomilter.RespDiscard, nil
	}
	if err := change(ctx, m, &t.Transaction, verdict); err != nil {
		s.server.working.Go(func() { abandon(verdict) })
		return nil, fmt.Errorf("changing the message: %w", err)
	}
	if verdict.Sent != nil {
		err := s.await(ctx, m, func() error { return verdict.Sent(ctx, s.server.config.Clock()) })
		if err != nil {
			return nil, fmt.Errorf("recording that the message is sent: %w", err)
		}
	}
	return gomilter.RespAccept, nil
}

// ask asks the door about the message. A verdict that comes when nobody waits for
// it any more is abandoned then and not before, for until then the door is at work.
func (s *session) ask(ctx context.Context, m gomilter.Modifier) (*point.Verdict, error) {
	t, given := s.t, make(chan *point.Verdict, 1)
	err := s.await(ctx, m, func() error {
		defer close(given)
		leave, err := s.server.places.Enter(ctx)
		if err != nil {
			return err
		}
		defer leave() // also a door that is too late has its place until it ends
		verdict, err := s.server.config.Door.Handle(ctx, &t.Transaction)
		given <- verdict
		return err
	})
	if err != nil {
		s.server.working.Go(func() { abandon(<-given) })
		return nil, err
	}
	return <-given, nil
}

// abandon tells the door that its verdict, if it gave one, is not carried out.
func abandon(verdict *point.Verdict) {
	if verdict != nil && verdict.Abandoned != nil {
		verdict.Abandoned()
	}
}

// await runs work in a goroutine of its own and tells the MTA every second that
// we go on; all that is sent to the MTA is sent from here, for the modifier is
// not safe for concurrent use. When the time is over, or the MTA is gone, await
// returns an error and work is left alone: it may read the message until it
// ends, and its result is dropped. A panic of work is an error.
func (s *session) await(ctx context.Context, m gomilter.Modifier, work func() error) error {
	done := make(chan error, 1)
	t := s.t
	t.working.Add(1)
	s.server.working.Go(func() {
		defer t.working.Done()
		done <- s.server.recovering(work)
	})
	progress := time.NewTicker(progressInterval)
	defer progress.Stop()
	for {
		select {
		case err := <-done:
			return err
		case <-ctx.Done():
			return fmt.Errorf("no decision in time (0.8 of the MTA's content timeout): %w", ctx.Err())
		case <-progress.C:
			if err := m.Progress(); err != nil {
				return fmt.Errorf("telling the MTA that we go on: %w", err)
			}
		}
	}
}

func (s *Server) recovering(work func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = s.panicError(p)
		}
	}()
	return work()
}
