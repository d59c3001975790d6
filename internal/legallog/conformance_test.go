package legallog

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/pec-milter/pec-milter/internal/point"
	"github.com/pec-milter/pec-milter/pec"
)

// opener opens one empty log several times, as the nodes do, and closes it with
// the test.
type opener func(t *testing.T, nodes int) []*Log

// testConformance is what every database must do.
func testConformance(t *testing.T, open opener) {
	tests := map[string]func(*testing.T, *Log){
		"events come back as written":          testEventRoundTrip,
		"events: all or none":                  testAppendAtomic,
		"text of any kind is kept":             testHostileText,
		"logged":                               testLogged,
		"ended":                                testEnded,
		"failed":                               testFailed,
		"reading in pages and by id":           testReading,
		"intent comes back as written":         testIntentRoundTrip,
		"intent: conflicts":                    testIntentConflict,
		"intent: latest generation":            testLatestIntent,
		"intent: the one before was sent":      testIntentSuperseded,
		"intent and events: both or none":      testIntentAtomic,
		"intent: one of many wins":             testIntentRace,
		"sent":                                 testMarkSent,
		"committed":                            testMarkCommitted,
		"claims: the first wins":               testClaims,
		"claims: one of many wins":             testClaimRace,
		"waits":                                testWaits,
		"waits: decisions":                     testWaitDecisions,
		"waits: pending":                       testPending,
		"submission by its PEC msgid":          testSubmission,
		"unfinished":                           testUnfinished,
		"verdict":                              testVerdict,
		"delivery begins":                      testBeginDelivery,
		"outcome":                              testOutcome,
		"outcome and events: both or none":     testOutcomeAtomic,
		"outcome: one of many wins":            testOutcomeRace,
		"context ended before":                 testContextEnded,
		"closed log":                           testClosedLog,
		"closed database":                      testClosedDatabase,
		"many writers, some of whom must fail": testMixedWriters,
		"a batch keeps failures apart":         testBatchKeepsFailuresApart,
		"a batch fails whole":                  testBatchFailsWhole,
		"waiting callers share a commit":       testWaitingCallersShareCommit,
		"the log is append-only":               testAppendOnly,
		"rows are chained":                     testChain,
		"rows are sealed":                      testSeal,
		"search finds what is there":           testSearch,
		"search: hostile text":                 testSearchHostile,
		"audit of days":                        testAuditOfDays,
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) { test(t, open(t, 1)[0]) })
	}
}

var (
	ctx = context.Background()
	t0  = time.Date(2026, 3, 29, 0, 59, 59, 123456000, time.UTC)
)

func sampleEvent(id string) point.Event {
	return point.Event{
		Time: t0, Kind: point.EventAccepted, Door: point.AccessDoor, QueueID: "4XyZ", ID: id,
		Reference: "<a&b@user.example>", Notice: pec.Acceptance, NoticeID: "notice." + id, NoticeTo: "anna@pec.example",
		Related: []string{"cause@mta.example"}, Sender: "anna@pec.example", ReplyTo: "anna@casa.example",
		Size: 1234, ReceiptType: pec.Brief, Error: pec.OtherError, ErrorDetail: "5.1.1 - Gestore", Virus: "Eicar",
		Recipients: []pec.Recipient{{Address: "bruno@pec.example", Kind: pec.Certified}, {Address: "c@d.example", Kind: pec.Ordinary}},
		Subject:    "Perché no?", Provider: "Gestore S.p.A.",
		Delivered: "bruno@pec.example", TakenFor: []string{"bruno@pec.example"}, Detail: "detail",
	}
}

func sampleIntent(id, key byte, generation int) *point.Intent {
	return &point.Intent{
		ID: point.TransactionID{id}, Key: point.Key{key, 31: key}, Generation: generation,
		Door: point.IncomingDoor, Time: t0,
		Facts: point.Facts{
			QueueID: "4XyZ", Recipients: []string{"bruno@pec.example"},
			MailReceipt: "ricevute@peer.example",
			Subject:     "=?utf-8?q?L'oggetto?=",
			Data: pec.CertificationData{Kind: pec.Envelope, Sender: "anna@peer.example", Subject: "L'oggetto \"è\" <questo>",
				Recipients: []pec.Recipient{{Address: "bruno@pec.example", Kind: pec.Certified}}, Time: t0, ID: "x@peer.example"},
		},
	}
}

func readAll(t *testing.T, log *Log, filter Filter) []Row {
	t.Helper()
	var rows []Row
	for row, err := range log.Events(ctx, filter) {
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, row)
	}
	return rows
}

func mustAdd(t *testing.T, log *Log, intents ...*point.Intent) {
	t.Helper()
	for _, intent := range intents {
		if err := log.AddIntent(ctx, intent, nil); err != nil {
			t.Fatal(err)
		}
	}
}

func wantError(t *testing.T, what string, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("%s: error %v, want %v", what, got, want)
	}
}

// race runs n at once and gives their errors.
func race(n int, run func(i int) error) []error {
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { errs[i] = run(i) })
	}
	wg.Wait()
	return errs
}

// calls is every method, for what must hold for all of them.
func calls(log *Log) map[string]func(context.Context) error {
	return map[string]func(context.Context) error{
		"Append": func(ctx context.Context) error { return log.Append(ctx, sampleEvent("one")) },
		"AddIntent": func(ctx context.Context) error {
			return log.AddIntent(ctx, sampleIntent(1, 1, 0), nil, sampleEvent("one"))
		},
		"MarkSent":     func(ctx context.Context) error { return log.MarkSent(ctx, point.TransactionID{99}, t0) },
		"PutVerdict":   func(ctx context.Context) error { return log.PutVerdict(ctx, point.Judgement{Time: t0}) },
		"Logged":       func(ctx context.Context) error { _, err := log.Logged(ctx, "x", "y"); return err },
		"Ended":        func(ctx context.Context) error { _, err := log.Ended(ctx, "x", "y", "z"); return err },
		"LatestIntent": func(ctx context.Context) error { _, err := log.LatestIntent(ctx, point.Key{}); return err },
		"Intent":       func(ctx context.Context) error { _, err := log.Intent(ctx, point.TransactionID{}); return err },
		"Verdict":      func(ctx context.Context) error { _, err := log.Verdict(ctx, [32]byte{}, [32]byte{}); return err },
		"Outcome":      func(ctx context.Context) error { _, err := log.Outcome(ctx, point.Key{}); return err },
		"Unfinished":   func(ctx context.Context) error { _, err := log.Unfinished(ctx); return err },
		"MarkCommitted": func(ctx context.Context) error {
			_, err := log.MarkCommitted(ctx, point.TransactionID{99}, t0, nil)
			return err
		},
		"BeginDelivery": func(ctx context.Context) error {
			_, err := log.BeginDelivery(ctx, point.Key{2}, sampleEvent("one"))
			return err
		},
		"PutOutcome": func(ctx context.Context) error {
			_, err := log.PutOutcome(ctx, point.Key{1}, point.Outcome{}, point.Settlement{}, sampleEvent("one"))
			return err
		},
		"Events": func(ctx context.Context) (last error) {
			for _, err := range log.Events(ctx, Filter{}) {
				last = err
			}
			return last
		},
	}
}

func testContextEnded(t *testing.T, log *Log) {
	ended, cancel := context.WithCancel(ctx)
	cancel()
	for name, call := range calls(log) {
		wantError(t, name, call(ended), context.Canceled)
	}
	if err := log.Append(ctx, sampleEvent("later")); err != nil {
		t.Errorf("a later caller: %v, want nil", err)
	}
	if rows := readAll(t, log, Filter{}); len(rows) != 1 {
		t.Errorf("the log has %+v, want nothing of those whose context had ended", rows)
	}
}

func testClosedLog(t *testing.T, log *Log) {
	log.Close()
	log.Close() // twice does no harm
	for name, call := range calls(log) {
		if writes(name) {
			wantError(t, name, call(ctx), errClosed)
		}
	}
}

func testClosedDatabase(t *testing.T, log *Log) {
	log.db.Close()
	for name, call := range calls(log) {
		if err := call(ctx); err == nil || errors.Is(err, point.ErrConflict) || errors.Is(err, point.ErrUnknown) {
			t.Errorf("%s: %v, want an error that is neither conflict nor unknown", name, err)
		}
	}
}

// Callers that share a commit do not share their errors.
func testMixedWriters(t *testing.T, log *Log) {
	const n = 200
	errs := race(n, func(i int) error {
		event := sampleEvent(fmt.Sprint(i))
		if i%3 == 0 {
			event.Time = time.Time{}
		}
		return log.Append(ctx, sampleEvent(fmt.Sprint(i)), event)
	})
	for i, err := range errs {
		if (err != nil) != (i%3 == 0) {
			t.Errorf("writer %d: %v, want an error for every third and no other", i, err)
		}
	}
	for _, row := range readAll(t, log, Filter{}) {
		var i int
		if fmt.Sscan(row.ID, &i); i%3 == 0 {
			t.Errorf("row %d of writer %d, who failed", row.Seq, i)
		}
	}
}
