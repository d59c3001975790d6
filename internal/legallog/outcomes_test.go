package legallog

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/pec-milter/pec-milter/internal/point"
	"github.com/pec-milter/pec-milter/pec"
)

func testVerdict(t *testing.T, log *Log) {
	digest, certificate := [32]byte{1}, [32]byte{2}
	_, err := log.Verdict(ctx, digest, certificate)
	wantError(t, "no verdict", err, point.ErrUnknown)
	for i, want := range []point.Judgement{
		{Digest: digest, Certificate: certificate, Own: true, Kind: pec.Envelope, Time: t0},
		{Digest: digest, Certificate: certificate, Kind: pec.Anomaly, Ordinary: true, MailReceipt: "r@peer.example", Time: t0.Add(time.Hour)},
	} {
		if err := log.PutVerdict(ctx, want, sampleEvent(fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
		if got, err := log.Verdict(ctx, digest, certificate); err != nil || *got != want {
			t.Errorf("Verdict = %+v, %v, want the last: %+v", got, err, want)
		}
	}
	_, err = log.Verdict(ctx, digest, [32]byte{3})
	wantError(t, "another signer", err, point.ErrUnknown)
	_, err = log.Verdict(ctx, certificate, certificate)
	wantError(t, "another digest", err, point.ErrUnknown)
	if err := log.PutVerdict(ctx, point.Judgement{Digest: certificate, Certificate: certificate, Time: t0}, point.Event{}); err == nil {
		t.Error("an event without a time was taken")
	}
	_, err = log.Verdict(ctx, certificate, certificate)
	wantError(t, "after a refused event", err, point.ErrUnknown)
	if got := ids(t, log); got != "0 1" {
		t.Errorf("the log has %q, want a row for each verdict", got)
	}
}

func testBeginDelivery(t *testing.T, log *Log) {
	for i, want := range []struct {
		key   point.Key
		again bool
	}{{point.Key{5}, false}, {point.Key{5}, true}, {point.Key{6}, false}, {point.Key{5}, true}} {
		again, err := log.BeginDelivery(ctx, want.key, sampleEvent(fmt.Sprint(i)))
		if err != nil || again != want.again {
			t.Errorf("delivery %d: again %v, %v, want %v", i, again, err, want.again)
		}
	}
	if _, err := log.BeginDelivery(ctx, point.Key{7}, point.Event{}); err == nil {
		t.Error("an event without a time was taken")
	}
	if again, err := log.BeginDelivery(ctx, point.Key{7}, sampleEvent("4")); again || err != nil {
		t.Errorf("after a refused event: again %v, %v", again, err)
	}
	if got := ids(t, log); got != "0 1 2 3 4" {
		t.Errorf("the log has %q, want a row for each attempt", got)
	}
}

func testOutcome(t *testing.T, log *Log) {
	key := point.Key{5}
	_, err := log.Outcome(ctx, key)
	wantError(t, "no outcome", err, point.ErrUnknown)
	first := point.Outcome{Kind: pec.NonDelivery, Time: t0, Reply: "550 5.1.1 <x> no", Code: "5.1.1", Error: pec.WrongMailbox, Detail: "d"}
	second := point.Outcome{Kind: pec.Delivery, Time: t0.Add(time.Hour)}
	for i, put := range []point.Outcome{first, second, first} {
		got, err := log.PutOutcome(ctx, key, put, point.Settlement{}, sampleEvent(fmt.Sprint(i)))
		if err != nil || got != first {
			t.Errorf("PutOutcome %d = %+v, %v, want the first: %+v", i, got, err, first)
		}
	}
	if got, err := log.Outcome(ctx, key); err != nil || *got != first {
		t.Errorf("Outcome = %+v, %v, want the first: %+v", got, err, first)
	}
	if rows := readAll(t, log, Filter{}); len(rows) != 1 || rows[0].ID != "0" {
		t.Errorf("events %+v, want those of the first outcome", rows)
	}
}

func testOutcomeAtomic(t *testing.T, log *Log) {
	if _, err := log.PutOutcome(ctx, point.Key{5}, point.Outcome{Time: t0}, point.Settlement{}, sampleEvent("one"), point.Event{}); err == nil {
		t.Error("outcome with an event without a time was taken, want an error")
	}
	_, err := log.Outcome(ctx, point.Key{5})
	wantError(t, "outcome whose event was refused", err, point.ErrUnknown)
	if rows := readAll(t, log, Filter{}); len(rows) != 0 {
		t.Errorf("events of the refused outcome: %+v, want none", rows)
	}
}

func testOutcomeRace(t *testing.T, log *Log) {
	const n = 20
	got := make([]point.Outcome, n)
	errs := race(n, func(i int) (err error) {
		got[i], err = log.PutOutcome(ctx, point.Key{5}, point.Outcome{Reply: fmt.Sprint(i), Time: t0}, point.Settlement{}, sampleEvent(fmt.Sprint(i)))
		return err
	})
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	rows := readAll(t, log, Filter{})
	for i := range got {
		if len(rows) != 1 || got[i].Reply != rows[0].ID {
			t.Fatalf("attempt %d was told %+v, the log has %+v, want one outcome for all, and its event", i, got[i], rows)
		}
	}
}
