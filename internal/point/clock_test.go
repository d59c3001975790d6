package point_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/pec-milter/pec-milter/internal/point"
	"github.com/pec-milter/pec-milter/pec"
)

// The clock is set back by an hour while a message is on its way: every notice
// keeps a recorded time, or has one that is not before the acceptance. (OP-13,
// FP-42)
func TestClockSetBack(t *testing.T) {
	w := newWorld(t)
	w.beta.storeErr = func(string) error { return &point.Reply{Code: 550, Status: "5.1.1", Text: "no such user"} }
	check(t, w.alfa.submit(mainJob()))
	accepted := pec.LegalTime(w.now)
	w.now = w.now.Add(-time.Hour)
	w.run()
	for kind, want := range map[pec.Kind]int{pec.Acceptance: 1, pec.Delivery: 1, pec.NonDelivery: 1} {
		notices := w.notices(w.alfa, mario, kind)
		if len(notices) != want {
			t.Errorf("%d notices of %s, want %d", len(notices), kind, want)
		}
		for _, d := range notices {
			ours := d.Provider == w.alfa.provider.Identity.Name
			if ours && d.Time.Before(accepted) {
				t.Errorf("%s of %v is dated before the acceptance of %v", kind, d.Time, accepted)
			}
		}
	}
	// beta took charge after its own clock was set back: its notices agree with
	// each other.
	taken, failed := w.notices(w.alfa, alfaDesk, pec.ServerAcceptance), w.notice(w.alfa, mario, pec.NonDelivery)
	for _, d := range taken {
		if d.Provider == failed.Provider && failed.Time.Before(d.Time) {
			t.Errorf("errore-consegna of %v is dated before presa-in-carico of %v", failed.Time, d.Time)
		}
	}
}

// While the clock is not believed, nothing is accepted or stored, and nobody is
// told that time is over; what is dated already goes out. Then all goes on.
// (OP-13)
func TestClockNotBelieved(t *testing.T) {
	w := newWorld(t)
	trouble := errors.New("the clock is not believed")
	check(t, w.alfa.submit(mainJob()))
	for _, n := range []*node{w.alfa, w.beta} {
		n.provider.ClockTrouble = func() error { return trouble }
	}
	var reply *point.Reply
	if err := w.alfa.submit(&mail{mario, []string{anna}, message(mario, anna)}); !errors.Is(err, trouble) || errors.As(err, &reply) {
		t.Errorf("access door: got %v, want a temporary failure for the clock", err)
	}
	if err := w.beta.receive(&mail{"x@example.org", []string{anna}, message("x@example.org", anna)}); !errors.Is(err, trouble) {
		t.Errorf("incoming door: got %v, want a temporary failure for the clock", err)
	}
	w.now = w.now.Add(24 * time.Hour)
	if err := (&point.DeliveryPoint{Provider: w.alfa.provider}).Timeouts(context.Background()); !errors.Is(err, trouble) {
		t.Errorf("time-outs: got %v, want none for the clock", err)
	}
	w.alfa.deliverOwn()
	expect(t, "mailbox of carla", w.alfa.kinds(carla), "")
	for _, m := range w.alfa.queue {
		if pec.Domain(m.recipients[0]) == point.OutboxDomain {
			t.Errorf("outbox recipient %s was not served: its date is recorded", m.recipients[0])
		}
	}
	w.now = w.now.Add(-24 * time.Hour)
	trouble = nil
	w.run()
	w.expectMainJob()
}
