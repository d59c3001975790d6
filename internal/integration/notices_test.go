//go:build integration

package integration

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/pec-milter/pec-milter/internal/point"
	"github.com/pec-milter/pec-milter/pec"
)

func (s *stage) awaitAbout(_ *bytes.Buffer, _ *testscript.TestScript, args []string) error {
	return s.awaitTold(args[0], pec.Kind(args[1]), args[2], args[3:], func(d CertificationData) string { return d.Delivered })
}

func (s *stage) taken(_ *bytes.Buffer, _ *testscript.TestScript, args []string) error {
	return s.awaitTold(args[0], pec.ServerAcceptance, args[1], args[2:], func(d CertificationData) string {
		return strings.Join(slices.Sorted(slices.Values(d.TakenFor)), ",")
	})
}

// awaitTold waits for one notice for each thing that is to be told, and no more.
func (s *stage) awaitTold(address string, kind pec.Kind, about string, want []string, told func(CertificationData) string) error {
	isWanted := func(h pec.Header) bool { return KindOf(h) == kind && strings.Contains(referenceOf(h), about) }
	if _, err := s.awaitWhole(address, len(want), isWanted); err != nil {
		return err
	}
	if err := s.world.Settle(); err != nil {
		return err
	}
	messages, err := s.awaitWhole(address, len(want), isWanted)
	if err != nil {
		return err
	}
	var got []string
	for _, m := range messages {
		c, err := CutCertified(m.Raw)
		if err != nil {
			return err
		}
		err = Judges(m.Raw, c.Daticert, s.world.AuthorityFile(), filepath.Join(s.repository, "pec", "testdata", "postacert.dtd"))
		if err != nil {
			return err
		}
		got = append(got, told(c.Data))
	}
	slices.Sort(got)
	if want := slices.Sorted(slices.Values(want)); !slices.Equal(got, want) {
		return fmt.Errorf("%s in the mailbox of %s about %q, want %q", kind, address, got, want)
	}
	return nil
}

func (s *stage) last(out *bytes.Buffer, _ *testscript.TestScript, args []string) error {
	messages, err := s.awaitWhole(args[0], 1, func(h pec.Header) bool { return KindOf(h) == pec.Kind(args[1]) })
	if err != nil {
		return err
	}
	c, err := CutCertified(messages[len(messages)-1].Raw)
	if err != nil {
		return err
	}
	out.Write(c.Daticert)
	return nil
}

func (s *stage) notices(_ *bytes.Buffer, _ *testscript.TestScript, args []string) error {
	want, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	messages, err := s.awaitWhole(args[0], want, func(h pec.Header) bool { return KindOf(h) == pec.TimeoutNotice })
	if err == nil && len(messages) != want {
		err = fmt.Errorf("%d time-out notices in the mailbox of %s, want %d", len(messages), args[0], want)
	}
	return err
}

func (s *stage) quarantined(_ *bytes.Buffer, _ *testscript.TestScript, args []string) error {
	p, err := s.provider(args[0])
	if err != nil {
		return err
	}
	items, err := p.Quarantine()
	if err != nil {
		return err
	}
	for _, item := range items {
		if strings.Contains(item, args[1]) {
			return nil
		}
	}
	return fmt.Errorf("nothing in the quarantine of %s speaks of %s", p.Name, args[1])
}

func (s *stage) awaitQueued(_ *bytes.Buffer, _ *testscript.TestScript, args []string) error {
	p, err := s.provider(args[0])
	if err != nil {
		return err
	}
	return waitFor(args[1]+" put off", patience, func() error {
		waiting, err := waitingAt(p)
		if err != nil {
			return err
		}
		for _, w := range waiting {
			if w.address == args[1] && w.reason != "" {
				return nil
			}
		}
		return errors.New("it is not")
	})
}

// outboxQueued waits until outbox recipients are in the queue, none of them in a
// queue file that a file of the story names, and prints their queue files.
func (s *stage) outboxQueued(out *bytes.Buffer, ts *testscript.TestScript, args []string) error {
	p, err := s.provider(args[0])
	if err != nil {
		return err
	}
	var old []string
	for _, file := range args[1:] {
		old = append(old, strings.Fields(ts.ReadFile(file))...)
	}
	return waitFor("outbox recipient in another queue file", patience, func() error {
		out.Reset()
		waiting, err := waitingAt(p)
		if err != nil {
			return err
		}
		for _, w := range waiting {
			switch {
			case pec.Domain(w.address) != point.OutboxDomain:
			case slices.Contains(old, w.file):
				return fmt.Errorf("%s is still in %s", w.address, w.file)
			default:
				fmt.Fprintln(out, w.file)
			}
		}
		if out.Len() == 0 {
			return errors.New("there is none")
		}
		return nil
	})
}

// waiting is a recipient in Postfix's queue.
type waiting struct {
	file, address string
	reason        string // empty: it was not put off yet
}

func waitingAt(p *Provider) ([]waiting, error) {
	queue, err := p.Queue()
	if err != nil {
		return nil, err
	}
	var all []waiting
	for line := range strings.Lines(queue) {
		var queued struct {
			File       string `json:"queue_id"`
			Recipients []struct {
				Address string `json:"address"`
				Reason  string `json:"delay_reason"`
			} `json:"recipients"`
		}
		if err := json.Unmarshal([]byte(line), &queued); err != nil {
			return nil, err
		}
		for _, r := range queued.Recipients {
			all = append(all, waiting{queued.File, r.Address, r.Reason})
		}
	}
	return all, nil
}

// pause gives what must not come the time to come; the timer works every second.
func (s *stage) pause(_ *bytes.Buffer, _ *testscript.TestScript, args []string) error {
	d, err := time.ParseDuration(args[0])
	time.Sleep(d)
	return err
}
