package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pec-milter/pec-milter/internal/integration"
	"github.com/pec-milter/pec-milter/pec"
)

// arrival is a message in a mailbox.
type arrival struct {
	mailbox   string
	when      time.Time // when it was seen there
	file      string    // its name among the results of the scene
	provider  string    // who signed it
	raw       []byte
	header    pec.Header
	certified *integration.Certified
}

// settling is how long the mailboxes are watched after the last message that was
// due: what is not due must not come.
const settling = 3 * time.Second

// watch looks into the mailboxes until everything that is due has arrived, all
// queues are empty, and a while longer. The error says what is missing when ctx is
// done.
func (s *scene) watch(ctx context.Context) error {
	if err := s.until(ctx, func() bool { return len(s.missing()) == 0 }); err != nil {
		return err
	}
	if err := s.world.Settle(); err != nil {
		return err
	}
	end := time.Now().Add(settling)
	return s.until(ctx, func() bool { return time.Now().After(end) })
}

// await looks into the mailboxes until n messages of a kind have arrived.
func (s *scene) await(ctx context.Context, kind pec.Kind, n int) error {
	return s.until(ctx, func() bool {
		count := 0
		for _, a := range s.arrived {
			if a.certified.Data.Kind == kind {
				count++
			}
		}
		return count >= n
	})
}

// until looks into the mailboxes until something is so.
func (s *scene) until(ctx context.Context, so func() bool) error {
	for {
		if err := s.look(); err != nil {
			return err
		}
		if so() {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w; missing: %s", context.Cause(ctx), strings.Join(s.missing(), "; "))
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// look takes what is new in the mailboxes and in the quarantines, and shows it in
// its order.
func (s *scene) look() error {
	var news []arrival
	now := time.Now()
	for _, box := range s.boxes {
		messages, err := box.New(true)
		if err != nil {
			return err
		}
		for _, m := range messages {
			a, err := newArrival(box.Address, now, m)
			if err != nil {
				return fmt.Errorf("message %q in %s: %w", m.Header.Get("Subject"), box.Address, err)
			}
			a.provider = s.signerOf(a)
			news = append(news, a)
		}
	}
	slices.SortStableFunc(news, func(a, b arrival) int { return cmp.Compare(a.turn(), b.turn()) })
	for _, a := range news {
		a.file = fmt.Sprintf("%02d-%s-in-%s.eml", len(s.arrived)+1, a.certified.Data.Kind, a.mailbox)
		s.arrived = append(s.arrived, a)
		s.page.event(a.when, s.start, a.provider, name(a.certified.Data.Kind), who(a)...)
	}
	return s.lookIntoQuarantines(now)
}

// signerOf is the provider that certifies a message. An anomaly envelope has no
// certification data: there it is the one in whose name it comes.
func (s *scene) signerOf(a arrival) string {
	if a.certified.Data.Kind == pec.Anomaly {
		for _, p := range s.world.Providers {
			if strings.HasSuffix(a.header.Get("From"), "<"+p.Address+">") {
				return p.Title
			}
		}
	}
	return a.certified.Data.Provider
}

// lookIntoQuarantines notes what they have more than before.
func (s *scene) lookIntoQuarantines(now time.Time) error {
	for _, p := range s.world.Providers {
		items, err := p.Quarantine()
		if err != nil {
			return err
		}
		for s.quarantined[p.Name] < len(items) {
			s.quarantined[p.Name]++
			s.others = append(s.others, quarantined(p.Name))
			s.page.event(now, s.start, p.Title, "quarantine", "has the infected message")
		}
	}
	return nil
}

func newArrival(mailbox string, now time.Time, m integration.Received) (arrival, error) {
	certified, err := integration.CutCertified(m.Raw)
	return arrival{mailbox: mailbox, when: now, raw: m.Raw, header: m.Header, certified: certified}, err
}

// turn puts what was found in one look in the order of RFC 6109: mailboxes tell
// the time in seconds only.
func (a arrival) turn() int {
	return slices.Index([]pec.Kind{
		pec.Acceptance, pec.NonAcceptance, pec.Envelope, pec.ServerAcceptance,
		pec.VirusDetection, pec.Delivery, pec.NonDelivery, pec.TimeoutNotice, pec.Anomaly,
	}, a.certified.Data.Kind)
}

// who says of a message where it is, and whom it is about.
func who(a arrival) []string {
	data := a.certified.Data
	lines := []string{"in the mailbox of " + a.mailbox}
	switch data.Kind {
	case pec.Acceptance, pec.NonAcceptance:
		for _, r := range data.Recipients {
			lines = append(lines, fmt.Sprintf("  %-27s %s", r.Address, r.Kind))
		}
	case pec.ServerAcceptance:
		lines = append(lines, "  for "+strings.Join(data.TakenFor, ", "))
	case pec.Delivery, pec.NonDelivery, pec.TimeoutNotice, pec.VirusDetection:
		lines = append(lines, "  for "+data.Delivered)
	}
	if failure := a.failure(); failure != "" {
		lines = append(lines, "  error "+failure)
	}
	return lines
}
