package legallog

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pec-milter/pec-milter/internal/point"
)

func sampleWait(recipient string) point.Wait {
	return point.Wait{ID: "x@pec.example", Recipient: recipient, Transaction: point.TransactionID{7}, Since: t0}
}

// awaitNow has log wait, as for a message that is seen in the queue.
func awaitNow(t *testing.T, log *Log, waits ...point.Wait) {
	t.Helper()
	_, err := log.MarkCommitted(ctx, waitingIntent(t, log), t0, nil, waits...)
	wantError(t, "waiting", err, nil)
}

// waitingIntent is an intent of its own.
func waitingIntent(t *testing.T, log *Log) point.TransactionID {
	t.Helper()
	intent := sampleIntent(200, 200, 0)
	if err := log.AddIntent(ctx, intent, nil); err != nil && !errors.Is(err, point.ErrConflict) {
		t.Fatal(err)
	}
	return intent.ID
}

// settleNow records an outcome that settles waits, each time that of another delivery.
func settleNow(t *testing.T, log *Log, settled point.Settlement, at time.Time) {
	t.Helper()
	wantError(t, "settling", trySettle(log, settled, at), nil)
}

func trySettle(log *Log, settled point.Settlement, at time.Time) error {
	key := sha256.Sum256(fmt.Append(nil, settled, at))
	_, err := log.PutOutcome(ctx, key, point.Outcome{Time: at}, settled)
	return err
}

func takenBy(waits ...point.Wait) point.Settlement { return point.Settlement{Taken: waits} }

func endedBy(waits ...point.Wait) point.Settlement { return point.Settlement{Ended: waits} }

// waitNow is the wait as it is recorded; nil if it is over.
func waitNow(t *testing.T, log *Log, recipient string) *point.Wait {
	t.Helper()
	waits, err := log.Waits(ctx, t0.Add(48*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range waits {
		if w.Recipient == recipient {
			return &w
		}
	}
	return nil
}

func testWaits(t *testing.T, log *Log) {
	a, b := sampleWait("a@b.example"), sampleWait("c@b.example")
	awaitNow(t, log, a, b)
	awaitNow(t, log, a, b)
	if early, err := log.Waits(ctx, t0.Add(-time.Second)); err != nil || len(early) != 0 {
		t.Errorf("waits before their time: got %v, %v", early, err)
	}
	if got := waitNow(t, log, a.Recipient); got == nil || !got.Since.Equal(t0) || got.Transaction != a.Transaction {
		t.Fatalf("wait: got %+v, want %+v", got, a)
	}
	settleNow(t, log, takenBy(a), t0.Add(time.Hour))
	settleNow(t, log, takenBy(a), t0.Add(2*time.Hour))
	if got := waitNow(t, log, a.Recipient); !got.Taken.Equal(t0.Add(time.Hour)) {
		t.Errorf("taken: got %v, want the first time", got.Taken)
	}
	settleNow(t, log, endedBy(a), t0)
	if got := waitNow(t, log, a.Recipient); got != nil {
		t.Errorf("ended wait is open: %+v", got)
	}
	wantError(t, "Over", log.Over(ctx, b), nil)
	if got := waitNow(t, log, b.Recipient); got != nil {
		t.Errorf("wait that is over is open: %+v", got)
	}
	// What answers before our own outbox: the wait begins with it, and is not begun anew.
	early, first := sampleWait("early@b.example"), sampleWait("first@b.example")
	settleNow(t, log, point.Settlement{Taken: []point.Wait{first}, Ended: []point.Wait{early}}, t0)
	awaitNow(t, log, early, first)
	if got := waitNow(t, log, early.Recipient); got != nil {
		t.Errorf("wait that had ended before it began: got %+v", got)
	}
	if got := waitNow(t, log, first.Recipient); got == nil || !got.Taken.Equal(t0) {
		t.Errorf("wait that began with presa-in-carico: got %+v, want it taken", got)
	}
}

// testPending: what is over does not count, the rest counts by its deadline.
func testPending(t *testing.T, log *Log) {
	want := func(now time.Time, want Pending) {
		t.Helper()
		if got, err := log.Pending(ctx, now); err != nil || got != want {
			t.Errorf("Pending %v after: got %+v, %v, want %+v", now.Sub(t0), got, err, want)
		}
	}
	want(t0, Pending{})
	a, b, c := sampleWait("a@b.example"), sampleWait("b@b.example"), sampleWait("c@b.example")
	b.Since = t0.Add(6 * time.Hour)
	awaitNow(t, log, a, b, c)
	want(t0.Add(7*time.Hour), Pending{First: 3})
	settleNow(t, log, endedBy(c), t0)
	want(t0.Add(12*time.Hour), Pending{First: 1, Last: 1})
	want(t0.Add(24*time.Hour), Pending{Last: 1, Passed: 1})
	want(t0.Add(30*time.Hour), Pending{Passed: 2})
}

// testWaitDecisions: FP-27, a notice is decided only if nothing came, and the
// first decision stays.
func testWaitDecisions(t *testing.T, log *Log) {
	for _, c := range []struct {
		name        string
		before      func(point.Wait) error
		first, last bool
	}{
		{"nothing came", func(point.Wait) error { return nil }, true, true},
		{"taken", func(w point.Wait) error { return trySettle(log, takenBy(w), t0) }, false, true},
		{"ended", func(w point.Wait) error { return trySettle(log, endedBy(w), t0) }, false, false},
	} {
		w := sampleWait(c.name + "@b.example")
		awaitNow(t, log, w)
		wantError(t, c.name, c.before(w), nil)
		for _, at := range []time.Time{t0.Add(12 * time.Hour), t0.Add(13 * time.Hour)} {
			got, err := log.DecideFirst(ctx, w, at)
			wantError(t, "DecideFirst", err, nil)
			if decided := got.First.Equal(t0.Add(12 * time.Hour)); decided != c.first || !decided && !got.First.IsZero() {
				t.Errorf("%s: first notice: got %v", c.name, got.First)
			}
		}
		got, err := log.DecideLast(ctx, w, t0.Add(23*time.Hour))
		wantError(t, "DecideLast", err, nil)
		if got.Last.IsZero() == c.last {
			t.Errorf("%s: last notice: got %v", c.name, got.Last)
		}
	}
}

func testSubmission(t *testing.T, log *Log) {
	intent := sampleIntent(1, 9, 0)
	intent.Door = point.AccessDoor
	wantError(t, "AddIntent", log.AddIntent(ctx, intent, nil), nil)
	incoming := sampleIntent(2, 8, 0)
	wantError(t, "AddIntent", log.AddIntent(ctx, incoming, nil), nil)
	got, err := log.Submission(ctx, intent.Facts.Data.ID)
	if err != nil || got.ID != intent.ID {
		t.Errorf("Submission: got %v, %v, want %x", got, err, intent.ID)
	}
	_, err = log.Submission(ctx, "other@pec.example")
	wantError(t, "unknown", err, point.ErrUnknown)
	// A peer chooses its ids, and their length.
	incoming = sampleIntent(3, 7, 0)
	incoming.Facts.Data.ID = longID()
	wantError(t, "AddIntent with a long PEC msgid", log.AddIntent(ctx, incoming, nil, sampleEvent(longID())), nil)
	_, err = log.Submission(ctx, longID())
	wantError(t, "a long PEC msgid", err, point.ErrUnknown)
}

// longID is a PEC msgid of 30 kB that no compression makes short.
func longID() string {
	var id strings.Builder
	for n := range 1000 {
		fmt.Fprintf(&id, "%x", sha256.Sum256([]byte{byte(n), byte(n >> 8)}))
	}
	return id.String()[:30000] + "@peer.example"
}
