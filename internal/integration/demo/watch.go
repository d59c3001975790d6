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
	file      string    // its name among the results
	raw       []byte
	header    pec.Header
	certified *integration.Certified
}

// settling is how long the mailboxes are watched after the last message that was
// due: what is not due must not come.
const settling = 3 * time.Second

// open opens all mailboxes.
func (s *scene) open() ([]*integration.Mailbox, error) {
	var boxes []*integration.Mailbox
	for _, address := range s.mailboxes() {
		box, err := s.world.SiteOf(address).OpenMailbox(address)
		if err != nil {
			return boxes, err
		}
		boxes = append(boxes, box)
	}
	return boxes, nil
}

// watch looks into the mailboxes until everything that is due has arrived, and a
// while longer. The error says what is missing when ctx is done.
func (s *scene) watch(ctx context.Context, boxes []*integration.Mailbox) error {
	var end time.Time // zero: something is missing
	for end.IsZero() || time.Now().Before(end) {
		if err := s.look(boxes); err != nil {
			return err
		}
		missing := s.missing()
		if len(missing) == 0 && end.IsZero() {
			end = time.Now().Add(settling)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w; missing: %s", context.Cause(ctx), strings.Join(missing, "; "))
		case <-time.After(50 * time.Millisecond):
		}
	}
	return nil
}

// look takes what is new in the mailboxes, and shows it in its order.
func (s *scene) look(boxes []*integration.Mailbox) error {
	var news []arrival
	now := time.Now()
	for _, box := range boxes {
		messages, err := box.New(true)
		if err != nil {
			return err
		}
		for _, m := range messages {
			a, err := newArrival(box.Address, now, m)
			if err != nil {
				return fmt.Errorf("message %q in %s: %w", m.Header.Get("Subject"), box.Address, err)
			}
			news = append(news, a)
		}
	}
	slices.SortStableFunc(news, func(a, b arrival) int { return cmp.Compare(a.turn(), b.turn()) })
	for _, a := range news {
		a.file = fmt.Sprintf("%02d-%s-in-%s.eml", len(s.arrived)+1, a.certified.Data.Kind, a.mailbox)
		s.arrived = append(s.arrived, a)
		s.page.event(a.when, s.start, a.certified.Data.Provider, string(a.certified.Data.Kind), who(a)...)
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
	return slices.Index([]pec.Kind{pec.Acceptance, pec.Envelope, pec.ServerAcceptance, pec.Delivery}, a.certified.Data.Kind)
}

// who says of a message where it is, and whom it is about.
func who(a arrival) []string {
	data := a.certified.Data
	lines := []string{"in the mailbox of " + a.mailbox}
	switch data.Kind {
	case pec.Acceptance:
		for _, r := range data.Recipients {
			lines = append(lines, fmt.Sprintf("  %-27s %s", r.Address, r.Kind))
		}
	case pec.ServerAcceptance:
		lines = append(lines, "  for "+strings.Join(data.TakenFor, ", "))
	case pec.Delivery, pec.NonDelivery:
		lines = append(lines, "  for "+data.Delivered)
	}
	return lines
}
