package legallog

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/pec-milter/pec-milter/internal/point"
	"github.com/pec-milter/pec-milter/pec"
)

func testIntentRoundTrip(t *testing.T, log *Log) {
	intent := sampleIntent(1, 9, 0)
	if err := log.AddIntent(ctx, intent, nil, sampleEvent("x@peer.example")); err != nil {
		t.Fatal(err)
	}
	got, err := log.Intent(ctx, intent.ID)
	if err != nil || !reflect.DeepEqual(got, intent) {
		t.Errorf("Intent = %+v, %v, want %+v", got, err, intent)
	}
	if rows := readAll(t, log, Filter{}); len(rows) != 1 {
		t.Errorf("%d events with the intent, want 1", len(rows))
	}
	got, err = log.Intent(ctx, point.TransactionID{2})
	wantError(t, "unknown transaction", err, point.ErrUnknown)
	if got != nil {
		t.Errorf("unknown transaction: %+v, want nil", got)
	}
}

func testIntentConflict(t *testing.T, log *Log) {
	mustAdd(t, log, sampleIntent(1, 9, 0))
	tests := map[string]*point.Intent{
		"the same again":           sampleIntent(1, 9, 0),
		"its id":                   sampleIntent(1, 8, 0),
		"its key and generation":   sampleIntent(2, 9, 0),
		"its id, a new generation": sampleIntent(1, 9, 1),
	}
	for name, intent := range tests {
		wantError(t, name, log.AddIntent(ctx, intent, nil, sampleEvent("lost")), point.ErrConflict)
	}
	if rows := readAll(t, log, Filter{}); len(rows) != 0 {
		t.Errorf("events of refused intents: %+v, want none", rows)
	}
	mustAdd(t, log, sampleIntent(2, 8, 0), sampleIntent(3, 9, 1))
}

func testLatestIntent(t *testing.T, log *Log) {
	_, err := log.LatestIntent(ctx, sampleIntent(1, 9, 0).Key)
	wantError(t, "no intent", err, point.ErrUnknown)
	for generation, id := range []byte{30, 20, 10} {
		mustAdd(t, log, sampleIntent(id, 9, generation), sampleIntent(id+1, 8, generation+5))
		got, err := log.LatestIntent(ctx, sampleIntent(1, 9, 0).Key)
		if err != nil || got.Generation != generation || got.ID != (point.TransactionID{id}) {
			t.Errorf("LatestIntent = %+v, %v, want generation %d of id %d", got, err, generation, id)
		}
	}
}

func testIntentAtomic(t *testing.T, log *Log) {
	err := log.AddIntent(ctx, sampleIntent(1, 9, 0), nil, sampleEvent("one"), point.Event{})
	if err == nil || errors.Is(err, point.ErrConflict) {
		t.Errorf("intent with an event without a time: error %v, want another than a conflict", err)
	}
	_, err = log.Intent(ctx, point.TransactionID{1})
	wantError(t, "intent whose event was refused", err, point.ErrUnknown)
	if rows := readAll(t, log, Filter{}); len(rows) != 0 {
		t.Errorf("events of the refused intent: %+v, want none", rows)
	}
}

func testIntentRace(t *testing.T, log *Log) {
	errs := race(20, func(i int) error {
		return log.AddIntent(ctx, sampleIntent(byte(i), 9, 0), nil, sampleEvent(fmt.Sprint(i)))
	})
	won := slices.Index(errs, nil)
	for i, err := range errs {
		if i != won && !errors.Is(err, point.ErrConflict) {
			t.Errorf("attempt %d: %v, want a conflict with attempt %d", i, err, won)
		}
	}
	rows := readAll(t, log, Filter{})
	if won < 0 || len(rows) != 1 || rows[0].ID != fmt.Sprint(won) {
		t.Errorf("attempt %d won, the log has %+v, want its one event", won, rows)
	}
}

func testMarkSent(t *testing.T, log *Log) {
	first, second := sampleIntent(1, 9, 0), sampleIntent(2, 9, 1)
	verdict := point.Judgement{Digest: [32]byte{1}, Certificate: [32]byte{2}, Own: true, Kind: pec.Envelope, Time: t0}
	unrecorded := func(when string) {
		t.Helper()
		_, err := log.Verdict(ctx, verdict.Digest, verdict.Certificate)
		wantError(t, "verdict "+when, err, point.ErrUnknown)
	}
	wantError(t, "unknown transaction", log.MarkSent(ctx, first.ID, t0, verdict), point.ErrUnknown)
	unrecorded("of an unknown transaction")
	mustAdd(t, log, first, sampleIntent(3, 8, 5)) // another key's generation does not count
	for _, at := range []time.Time{t0, t0.Add(time.Minute), t0.Add(time.Second)} {
		if err := log.MarkSent(ctx, first.ID, at); err != nil {
			t.Fatal(err)
		}
		if got, err := log.Intent(ctx, first.ID); err != nil || !got.SentAt.Equal(at) || !got.Committed.IsZero() {
			t.Errorf("after MarkSent at %v: %+v, %v, want that time", at, got, err)
		}
	}
	mustAdd(t, log, second)
	wantError(t, "earlier generation", log.MarkSent(ctx, first.ID, t0.Add(time.Hour), verdict), point.ErrConflict)
	unrecorded("of an earlier generation")
	if got, err := log.Intent(ctx, first.ID); err != nil || !got.SentAt.Equal(t0.Add(time.Second)) {
		t.Errorf("after the conflict: %+v, %v, want the time as it was", got, err)
	}
	if err := log.MarkSent(ctx, second.ID, t0, verdict); err != nil {
		t.Errorf("latest generation: %v, want nil", err)
	}
	if got, err := log.Verdict(ctx, verdict.Digest, verdict.Certificate); err != nil || *got != verdict {
		t.Errorf("verdict of what was sent: %+v, %v, want %+v", got, err, verdict)
	}
}

func testMarkCommitted(t *testing.T, log *Log) {
	_, err := log.MarkCommitted(ctx, point.TransactionID{1}, t0, []point.Key{{7}})
	wantError(t, "unknown transaction", err, point.ErrUnknown)
	// An old generation that does appear is served in full.
	mustAdd(t, log, sampleIntent(1, 9, 0), sampleIntent(2, 9, 1))
	for _, at := range []time.Time{t0, t0.Add(time.Hour)} {
		own, err := log.MarkCommitted(ctx, point.TransactionID{1}, at, []point.Key{{7}})
		if err != nil || !slices.Equal(own, []bool{true}) {
			t.Errorf("MarkCommitted = %v, %v, want [true]: an unknown transaction claims nothing", own, err)
		}
		if got, err := log.Intent(ctx, point.TransactionID{1}); err != nil || !got.Committed.Equal(t0) {
			t.Errorf("committed %+v, %v, want the first time %v", got, err, t0)
		}
	}
}

func testClaims(t *testing.T, log *Log) {
	mustAdd(t, log, sampleIntent(1, 1, 0), sampleIntent(2, 2, 0))
	tests := []struct {
		name   string
		id     byte
		claims []point.Key
		want   []bool
	}{
		{"two new ones", 1, []point.Key{{1}, {2}}, []bool{true, true}},
		{"one of another's, one new", 2, []point.Key{{2}, {3}}, []bool{false, true}},
		{"again, with the other's", 1, []point.Key{{3}, {2}, {1}}, []bool{false, true, true}},
		{"again", 2, []point.Key{{2}, {3}}, []bool{false, true}},
		{"the same twice", 2, []point.Key{{4}, {4}}, []bool{true, true}},
		{"none", 2, nil, []bool{}},
	}
	for _, test := range tests {
		own, err := log.MarkCommitted(ctx, point.TransactionID{test.id}, t0, test.claims)
		if err != nil || !slices.Equal(own, test.want) {
			t.Errorf("%s: own = %v, %v, want %v", test.name, own, err, test.want)
		}
	}
}

func testClaimRace(t *testing.T, log *Log) {
	const n = 12
	owners := make([][]bool, n)
	errs := race(n, func(i int) (err error) {
		if err := log.AddIntent(ctx, sampleIntent(byte(i), byte(i), 0), nil); err != nil {
			return err
		}
		owners[i], err = log.MarkCommitted(ctx, point.TransactionID{byte(i)}, t0, []point.Key{{1}, {2}, {3}})
		return err
	})
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	for key := range 3 {
		winners := 0
		for i := range owners {
			if owners[i][key] {
				winners++
			}
		}
		if winners != 1 {
			t.Errorf("claim %d has %d owners, want 1", key, winners)
		}
	}
}

func testUnfinished(t *testing.T, log *Log) {
	for id := byte(1); id <= 4; id++ { // 1 only intended, 2 and 3 sent, 4 committed
		mustAdd(t, log, sampleIntent(id, id, 0))
		if id == 1 {
			continue
		}
		if err := log.MarkSent(ctx, point.TransactionID{id}, t0.Add(-time.Duration(id)*time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := log.MarkCommitted(ctx, point.TransactionID{4}, t0, nil); err != nil {
		t.Fatal(err)
	}
	got, err := log.Unfinished(ctx)
	if err != nil || len(got) != 2 || got[0].ID[0] != 3 || got[1].ID[0] != 2 {
		t.Errorf("Unfinished = %+v, %v, want transactions 3 and 2", got, err)
	}
}

// testIntentSuperseded: an attempt that stalled and then was sent all the same
// is not void: nobody may go on beside it.
func testIntentSuperseded(t *testing.T, log *Log) {
	first := sampleIntent(1, 9, 0)
	if err := log.AddIntent(ctx, first, nil); err != nil {
		t.Fatal(err)
	}
	if err := log.MarkSent(ctx, first.ID, t0); err != nil {
		t.Fatal(err)
	}
	wantError(t, "AddIntent", log.AddIntent(ctx, sampleIntent(2, 9, 1), first, sampleEvent("lost")), point.ErrConflict)
	read, err := log.LatestIntent(ctx, first.Key)
	if err != nil {
		t.Fatal(err)
	}
	if read.Generation != 0 {
		t.Errorf("latest generation: got %d, want 0", read.Generation)
	}
	if err := log.AddIntent(ctx, sampleIntent(2, 9, 1), read); err != nil {
		t.Errorf("AddIntent after the intent as it is now: %v", err)
	}
}
