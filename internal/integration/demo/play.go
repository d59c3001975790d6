package main

import (
	"context"
	"errors"
	"fmt"
	"net/textproto"
	"time"

	"github.com/pec-milter/pec-milter/internal/integration"
	"github.com/pec-milter/pec-milter/pec"
)

// How far the clock is moved: past the 12 hours, and just before the 24 in which
// the last notice must be out.
const (
	hours12 = 12*time.Hour + time.Minute
	hours24 = 24*time.Hour - time.Minute
)

func playMainJob(_ context.Context, s *scene) error {
	message := composeMessage(s.start)
	s.page.letter()
	return s.submit(message, sender, remote, colleague, outsider)
}

// submit hands a message to the sender's provider, as his mail client does.
func (s *scene) submit(message []byte, from string, to ...string) error {
	s.submitted = message
	if err := s.world.SiteOf(from).Submit(integration.NewMail(message, from, to...)); err != nil {
		return fmt.Errorf("submitting the message: %w", err)
	}
	s.others = append(s.others, answered(250))
	first := firstName(from)
	s.page.event(time.Now(), s.start, first+"'s client", "submitted", "SASL over STARTTLS, answered 250")
	return nil
}

// submit is a play: the letter goes to its sender's provider.
func (l letter) submit(_ context.Context, s *scene) error {
	return s.submit(l.compose(s.scenario.name, s.start), l.from, l.recipients()...)
}

// submitUnscannedBy is the play in which a provider's antivirus does not know the
// test virus meanwhile.
func (l letter) submitUnscannedBy(provider string) func(context.Context, *scene) error {
	return func(ctx context.Context, s *scene) error {
		p := s.world.Provider(provider)
		err := s.change(p, "antivirus", "does not know the test virus",
			func() error { return p.IgnoreEICAR(true) }, func() error { return p.IgnoreEICAR(false) })
		if err != nil {
			return err
		}
		return l.submit(ctx, s)
	}
}

// submitToSilence is the play in which the other provider does not answer. The
// clock of the sender's is moved ahead, once for each time-out notice; then all is
// as before, and the message gets there.
func (l letter) submitToSilence(ahead ...time.Duration) func(context.Context, *scene) error {
	return func(ctx context.Context, s *scene) error {
		if err := s.change(s.beta(), "pec-milter", "stopped", s.beta().StopDaemon, s.beta().StartDaemon); err != nil {
			return err
		}
		if err := l.submit(ctx, s); err != nil {
			return err
		}
		if err := s.await(ctx, pec.Acceptance, 1); err != nil {
			return err
		}
		for n, by := range ahead {
			err := s.change(s.alfa(), "clock", fmt.Sprintf("%v ahead", by),
				func() error { return s.alfa().MoveClock(by) }, func() error { return s.alfa().MoveClock(0) })
			if err != nil {
				return err
			}
			if err := s.await(ctx, pec.TimeoutNotice, n+1); err != nil {
				return err
			}
		}
		return s.restore()
	}
}

// tooSmall is a quota, in bytes, into which no envelope fits.
const tooSmall = 2000

func playFullMailbox(ctx context.Context, s *scene) error {
	err := s.change(s.beta(), "quota", fmt.Sprintf("%d bytes for %s", tooSmall, remote),
		func() error { return s.beta().SetQuota(remote, tooSmall) }, func() error { return s.beta().SetQuota(remote, 0) })
	if err != nil {
		return err
	}
	return letter{from: sender, to: []string{remote}}.submit(ctx, s)
}

func playOrdinaryTaken(ctx context.Context, s *scene) error {
	err := s.change(s.alfa(), "account", colleague+" takes ordinary mail",
		func() error { return s.alfa().SetOrdinary(colleague, "accept") },
		func() error { return s.alfa().SetOrdinary(colleague, "refuse") })
	if err != nil {
		return err
	}
	return letter{from: outsider, to: []string{colleague}}.send(ctx, s)
}

// send is a play: the letter comes to port 25 of its recipients' provider, as
// from another mail server. What that answers is an outcome.
func (l letter) send(_ context.Context, s *scene) error {
	s.submitted = l.compose(s.scenario.name, s.start)
	err := s.world.SiteOf(l.to[0]).Send(integration.NewMail(s.submitted, l.from, l.recipients()...))
	code, text := 250, ""
	var reply *textproto.Error
	if errors.As(err, &reply) {
		code, text = reply.Code, ": "+reply.Msg
	} else if err != nil {
		return fmt.Errorf("sending the message: %w", err)
	}
	s.others = append(s.others, answered(code))
	first := firstName(l.from)
	s.page.event(time.Now(), s.start, first+"'s server", "sent", fmt.Sprintf("answered %d%s", code, text))
	return nil
}

// change changes something at a provider for the time of the scene.
func (s *scene) change(p *integration.Provider, what, how string, do, undo func() error) error {
	s.undo = append(s.undo, undo)
	if err := do(); err != nil {
		return fmt.Errorf("%s of %s: %w", what, p.Name, err)
	}
	s.page.event(time.Now(), s.start, p.Title, what, how)
	return nil
}

// restore undoes what the scene has changed, the last first.
func (s *scene) restore() error {
	var errs []error
	for n := range s.undo {
		errs = append(errs, s.undo[len(s.undo)-1-n]())
	}
	if len(s.undo) > 0 {
		s.page.event(time.Now(), s.start, "both providers", "restored", "all is as before")
	}
	s.undo = nil
	return errors.Join(errs...)
}
