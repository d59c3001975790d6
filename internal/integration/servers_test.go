//go:build integration

package integration

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

func (s *stage) clamd(_ *bytes.Buffer, _ *testscript.TestScript, args []string) error {
	p, err := s.provider(args[1])
	if err != nil {
		return err
	}
	switch args[0] {
	case "start":
		return p.StartClamd()
	case "stop":
		return p.StopClamd()
	case "ignore":
		return p.IgnoreEICAR(true)
	case "know":
		return p.IgnoreEICAR(false)
	}
	return fmt.Errorf("no act %q", args[0])
}

func (s *stage) clock(_ *bytes.Buffer, _ *testscript.TestScript, args []string) error {
	return s.moveClock(args, (*Provider).MoveClock)
}

func (s *stage) jump(_ *bytes.Buffer, _ *testscript.TestScript, args []string) error {
	return s.moveClock(args, (*Provider).JumpClock)
}

func (s *stage) moveClock(args []string, move func(*Provider, time.Duration) error) error {
	p, err := s.provider(args[0])
	if err != nil {
		return err
	}
	by, err := time.ParseDuration(args[1])
	if err != nil {
		return err
	}
	s.changed = append(s.changed, func() error { return p.MoveClock(0) })
	return move(p, by)
}

func (s *stage) fault(_ *bytes.Buffer, _ *testscript.TestScript, args []string) error {
	p, err := s.provider(args[0])
	if err != nil {
		return err
	}
	if args[1] == "none" {
		return p.OrderFault("")
	}
	s.changed = append(s.changed, func() error { return p.OrderFault("") })
	return p.OrderFault(args[1])
}

func (s *stage) postfix(_ *bytes.Buffer, _ *testscript.TestScript, args []string) error {
	p, err := s.provider(args[0])
	if err != nil {
		return err
	}
	name, _, _ := strings.Cut(args[1], "=")
	before, err := p.PostfixSetting(name)
	if err != nil {
		return err
	}
	s.changed = append(s.changed, func() error {
		if before == "" {
			return p.ResetPostfix(name)
		}
		return p.SetPostfix(before)
	})
	return p.SetPostfix(args[1])
}

// sendmailCF changes texts of the provider's sendmail.cf, which must be there, until the
// end of the story, and starts Sendmail again: what it was delivering is delivered before,
// or waits in its queue.
func (s *stage) sendmailCF(_ *bytes.Buffer, ts *testscript.TestScript, args []string) error {
	p, err := s.provider(args[0])
	if err != nil {
		return err
	}
	if len(args)%2 == 0 {
		ts.Fatalf("sendmail-cf: %q has nothing in its place", args[len(args)-1])
	}
	if p.cfEdits == nil {
		s.changed = append(s.changed, func() error { return p.restartSendmail(nil) })
	}
	return p.restartSendmail(args[1:])
}

func (p *Provider) restartSendmail(edits []string) error {
	p.cfEdits = edits
	return errors.Join(p.stopMTA(), p.startMTA())
}

func (s *stage) policy(_ *bytes.Buffer, _ *testscript.TestScript, args []string) error {
	p, err := s.providerOf(args[0])
	if err != nil {
		return err
	}
	return p.SetOrdinary(args[0], args[1])
}

// restore undoes what a story has changed for its own time.
func (s *stage) restore() error {
	var errs []error
	for _, undo := range slices.Backward(s.changed) {
		errs = append(errs, undo())
	}
	s.changed = nil
	return errors.Join(errs...)
}
