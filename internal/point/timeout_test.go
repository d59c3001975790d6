package point_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pec-milter/pec-milter/internal/point"
	"github.com/pec-milter/pec-milter/pec"
)

// tick moves the clock and has both providers look for overdue notifications.
func (w *world) tick(hours float64) {
	w.t.Helper()
	w.now = w.now.Add(time.Duration(hours * float64(time.Hour)))
	for _, n := range []*node{w.alfa, w.beta} {
		check(w.t, (&point.DeliveryPoint{Provider: n.provider}).Timeouts(context.Background()))
	}
	for _, n := range []*node{w.alfa, w.beta} {
		n.deliverOwn()
	}
}

// deliverOwn delivers what is in the queue for own mailboxes and the outbox;
// what goes to others stays: their provider is down.
func (n *node) deliverOwn() {
	for range 4 {
		var left []*mail
		queue := n.queue
		n.queue = nil
		for _, m := range queue {
			var kept []string
			for _, r := range m.recipients {
				domain := pec.Domain(r)
				own := domain == point.OutboxDomain || domain == n.provider.Identity.Domain
				if !own || n.send(&mail{m.from, []string{r}, m.data}) != nil {
					kept = append(kept, r)
				}
			}
			if len(kept) > 0 {
				left = append(left, &mail{m.from, kept, m.data})
			}
		}
		n.queue = append(left, n.queue...)
	}
}

// timeouts are the time-out notices in a mailbox: "12" and "24".
func (w *world) timeouts(mailbox string) string {
	var kinds []string
	for _, d := range w.notices(w.alfa, mailbox, pec.TimeoutNotice) {
		if strings.HasPrefix(d.Detail, "5.4.1 - ") {
			kinds = append(kinds, "24")
		} else {
			kinds = append(kinds, "12")
		}
	}
	return strings.Join(kinds, " ")
}

// TestTimeouts: RFC 6109 section 3.1.6, FP-25: the peer is down; FM-40: nothing is
// awaited of ordinary recipients.
func TestTimeouts(t *testing.T) {
	w := newWorld(t)
	check(t, w.alfa.submit(&mail{mario, []string{anna, luca}, message(mario, anna+", "+luca)}))
	w.alfa.deliverOwn()
	for _, step := range []struct {
		hours float64
		want  string
	}{{11.9, ""}, {0.2, "12"}, {9.8, "12"}, {1.7, "12 24"}, {10, "12 24"}} {
		w.tick(step.hours)
		expect(t, "notices after "+w.now.Format(time.TimeOnly), w.timeouts(mario), step.want)
	}
	for _, d := range w.notices(w.alfa, mario, pec.TimeoutNotice) {
		expect(t, "consegna", d.Delivered, anna)
	}
}

// TestNoTimeoutAfterDelivery: what came in time settles the wait, and a late
// delivery ends it.
func TestNoTimeoutAfterDelivery(t *testing.T) {
	w := newWorld(t)
	check(t, w.alfa.submit(mainJob()))
	w.run()
	w.tick(12.5)
	w.tick(12)
	expect(t, "notices", w.timeouts(mario), "")
}

// TestNoTimeoutWhereTheOutboxIsLate: FP-19, FP-24: the delivery is notified before
// our own acceptance could be issued. Nothing is waited for after that.
func TestNoTimeoutWhereTheOutboxIsLate(t *testing.T) {
	w := newWorld(t)
	check(t, w.alfa.submit(mainJob()))
	var late []*mail
	m := w.alfa.queue[0]
	m.recipients = slices.DeleteFunc(m.recipients, func(r string) bool {
		if pec.Domain(r) != point.OutboxDomain {
			return false
		}
		late = append(late, &mail{m.from, []string{r}, m.data})
		return true
	})
	w.run()
	w.alfa.queue = append(w.alfa.queue, late...)
	w.run()
	w.tick(12.5)
	w.tick(12)
	expect(t, "notices", w.timeouts(mario), "")
	if kinds := w.alfa.kinds(mario); !strings.Contains(kinds, " accettazione") || !strings.Contains(kinds, "avvenuta-consegna") {
		t.Errorf("mailbox of mario: got %q, want avvenuta-consegna, then accettazione", kinds)
	}
}

// TestTakenButNotDelivered: presa-in-carico came, the delivery did not: the 24 h
// notice alone.
func TestTakenButNotDelivered(t *testing.T) {
	w := newWorld(t)
	down := true
	w.beta.storeErr = func(string) error {
		if down {
			return &point.Reply{Code: 451, Status: "4.3.0", Text: "down"}
		}
		return nil
	}
	check(t, w.alfa.submit(&mail{mario, []string{anna}, message(mario, anna)}))
	w.run()
	w.tick(13)
	expect(t, "notices after 13 hours", w.timeouts(mario), "")
	w.tick(10.6)
	expect(t, "notices after 23.6 hours", w.timeouts(mario), "24")
}

// TestLateDelivery: the delivery comes after 12 hours: the first notice alone.
func TestLateDelivery(t *testing.T) {
	w := newWorld(t)
	check(t, w.alfa.submit(&mail{mario, []string{anna}, message(mario, anna)}))
	w.alfa.deliverOwn()
	w.tick(13)
	w.run()
	w.tick(12)
	expect(t, "notices", w.timeouts(mario), "12")
	if !strings.Contains(w.alfa.kinds(mario), "avvenuta-consegna") {
		t.Errorf("mailbox of mario: got %q, want a late avvenuta-consegna", w.alfa.kinds(mario))
	}
}

// TestGivenUpAt23Hours: FP-32, the mailbox store is down for a day: our own
// errore-consegna, not the MTA's bounce.
func TestGivenUpAt23Hours(t *testing.T) {
	w := newWorld(t)
	w.beta.storeErr = func(string) error { return &point.Reply{Code: 451, Status: "4.3.0", Text: "down"} }
	check(t, w.alfa.submit(&mail{mario, []string{anna}, message(mario, anna)}))
	w.run()
	w.now = w.now.Add(22 * time.Hour)
	w.run()
	expect(t, "mailbox of mario after 22 hours", w.alfa.kinds(mario), "accettazione")
	w.now = w.now.Add(65 * time.Minute)
	w.run()
	d := w.notice(w.alfa, mario, pec.NonDelivery)
	expect(t, "errore", string(d.Error), "altro")
	if len(w.beta.queue) != 0 {
		t.Errorf("queue of beta: got %d, want none", len(w.beta.queue))
	}
}
