package explore

import (
	"bytes"
	"context"
	"strings"
	"time"

	"github.com/pec-milter/pec-milter/internal/point"
	"github.com/pec-milter/pec-milter/pec"
)

// database is the SQL authority as a value: what legallog keeps on disk. Every
// method of sql is one durable, atomic step of it.
type database struct {
	events   table[point.Event] // a set of what is askedFor
	intents  table[point.Intent]
	verdicts table[point.Judgement]
	claims   table[point.TransactionID]
	outcomes table[point.Outcome]
	waits    table[wait]
}

type wait struct {
	point.Wait
	over bool
}

func (d database) shared() database {
	return database{d.events.shared(), d.intents.shared(), d.verdicts.shared(), d.claims.shared(), d.outcomes.shared(), d.waits.shared()}
}

func (d *database) fingerprints() []fingerprint {
	return []fingerprint{
		d.events.fingerprint(), d.intents.fingerprint(), d.verdicts.fingerprint(), d.claims.fingerprint(),
		d.outcomes.fingerprint(), d.waits.fingerprint(),
	}
}

// sql is point.Log and point.Records on the database of a run's world.
type sql struct{ *host }

func (s sql) Append(_ context.Context, events ...point.Event) error {
	for _, e := range events {
		e = askedFor(e)
		if key := eventKey(e); !s.w.sql.events.has(key) {
			s.w.sql.events.put(key, e)
		}
	}
	return nil
}

func eventKey(e point.Event) string {
	return strings.Join([]string{string(e.Kind), e.ID, string(e.Notice), e.NoticeID, e.Delivered, e.Detail}, " ")
}

// askedFor is of an event what the doors, or the invariants, ever ask for. Worlds
// whose logs differ in the rest go on in the same way.
func askedFor(e point.Event) point.Event {
	asked := point.Event{Kind: e.Kind, ID: e.ID, Notice: e.Notice, NoticeID: e.NoticeID, Delivered: e.Delivered}
	if final(e.Detail) {
		asked.Detail = e.Detail
	}
	return asked
}

func (s sql) Logged(_ context.Context, kind point.EventKind, noticeID string) (bool, error) {
	return s.w.logged(func(e point.Event) bool { return e.Kind == kind && e.NoticeID == noticeID }), nil
}

// Failed has the rule of legallog.Failed.
func (s sql) Failed(_ context.Context, id string) (bool, error) {
	return s.w.logged(func(e point.Event) bool {
		failure := e.Notice == pec.NonAcceptance || e.Notice == pec.NonDelivery || e.Notice == pec.TimeoutNotice && final(e.ErrorDetail)
		return e.ID == id && failure && (e.Kind == point.EventIssuing || e.Kind == point.EventIssued || e.Kind == point.EventNotification)
	}), nil
}

// Ended has the rule of legallog.Ended.
func (s sql) Ended(_ context.Context, queueID, messageID, recipient string) (bool, error) {
	return s.w.logged(func(e point.Event) bool {
		return (e.Kind == point.EventDelivered || e.Kind == point.EventUndelivered) && e.QueueID == queueID &&
			messageID != "" && (e.ID == messageID || e.NoticeID == messageID) && e.Delivered == recipient
	}), nil
}

// final tells the 24 h notice from that of 12 h.
func final(detail string) bool { return strings.HasPrefix(detail, "5.4.1 ") }

func (s sql) LatestIntent(_ context.Context, key point.Key) (*point.Intent, error) {
	return s.find(func(i point.Intent) bool { return i.Key == key })
}

func (s sql) Submission(_ context.Context, msgid string) (*point.Intent, error) {
	return s.find(func(i point.Intent) bool { return i.Facts.Data.ID == msgid && i.Door == point.AccessDoor })
}

func (s sql) Intent(_ context.Context, id point.TransactionID) (*point.Intent, error) {
	return s.find(func(i point.Intent) bool { return i.ID == id })
}

// find is the intent of the highest generation that fits.
func (s sql) find(fits func(point.Intent) bool) (*point.Intent, error) {
	var found *point.Intent
	for _, i := range s.w.sql.intents.all() {
		if fits(i) && (found == nil || i.Generation > found.Generation) {
			found = &i
		}
	}
	if found == nil {
		return nil, point.ErrUnknown
	}
	return found, nil
}

func (s sql) AddIntent(ctx context.Context, intent, last *point.Intent, events ...point.Event) error {
	taken, _ := s.find(func(i point.Intent) bool {
		return i.ID == intent.ID || i.Key == intent.Key && i.Generation == intent.Generation
	})
	if taken != nil {
		return point.ErrConflict
	}
	if last != nil {
		now, _ := s.w.sql.intents.get(idText(last.ID))
		if !now.SentAt.Equal(last.SentAt) || !now.Committed.Equal(last.Committed) {
			return point.ErrConflict
		}
	}
	s.w.sql.intents.put(idText(intent.ID), *intent)
	return s.Append(ctx, events...)
}

func idText(id point.TransactionID) string { return string(id[:]) }

func (s sql) MarkSent(ctx context.Context, id point.TransactionID, at time.Time, verdicts ...point.Judgement) error {
	intent, there := s.w.sql.intents.get(idText(id))
	if !there {
		return point.ErrUnknown
	}
	later, _ := s.find(func(i point.Intent) bool { return i.Key == intent.Key && i.Generation > intent.Generation })
	if later != nil {
		return point.ErrConflict
	}
	intent.SentAt = at
	s.w.sql.intents.put(idText(id), intent)
	s.markedSent(intent)
	for _, v := range verdicts {
		_ = s.PutVerdict(ctx, v) // it never fails
	}
	return nil
}

func (s sql) MarkCommitted(_ context.Context, id point.TransactionID, at time.Time, claims []point.Key, waits ...point.Wait) ([]bool, error) {
	intent, there := s.w.sql.intents.get(idText(id))
	if !there {
		return nil, point.ErrUnknown
	}
	if intent.Committed.IsZero() {
		intent.Committed = at
		s.w.sql.intents.put(idText(id), intent)
	}
	s.await(waits)
	var own []bool
	for _, key := range claims {
		if !s.w.sql.claims.has(string(key[:])) {
			s.w.sql.claims.put(string(key[:]), id)
		}
		owner, _ := s.w.sql.claims.get(string(key[:]))
		own = append(own, bytes.Equal(owner[:], id[:]))
	}
	return own, nil
}

func (s sql) PutVerdict(ctx context.Context, verdict point.Judgement, events ...point.Event) error {
	s.w.sql.verdicts.put(string(verdict.Digest[:])+string(verdict.Certificate[:]), verdict)
	return s.Append(ctx, events...)
}

func (s sql) Verdict(_ context.Context, digest, certificate [32]byte) (*point.Judgement, error) {
	verdict, there := s.w.sql.verdicts.get(string(digest[:]) + string(certificate[:]))
	if !there {
		return nil, point.ErrUnknown
	}
	return &verdict, nil
}

// BeginDelivery finds a delivery that was begun by its row: no scenario has two
// messages whose rows are the same.
func (s sql) BeginDelivery(ctx context.Context, _ point.Key, events ...point.Event) (bool, error) {
	again := false
	for _, e := range events {
		again = again || s.w.sql.events.has(eventKey(askedFor(e)))
	}
	return again, s.Append(ctx, events...)
}

func (s sql) PutOutcome(ctx context.Context, key point.Key, outcome point.Outcome, settled point.Settlement, events ...point.Event) (point.Outcome, error) {
	if recorded, there := s.w.sql.outcomes.get(string(key[:])); there {
		return recorded, nil
	}
	s.w.sql.outcomes.put(string(key[:]), outcome)
	s.settle(settled, outcome.Time)
	return outcome, s.Append(ctx, events...)
}

func (s sql) Outcome(_ context.Context, key point.Key) (*point.Outcome, error) {
	outcome, there := s.w.sql.outcomes.get(string(key[:]))
	if !there {
		return nil, point.ErrUnknown
	}
	return &outcome, nil
}
