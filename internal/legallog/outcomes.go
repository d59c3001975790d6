package legallog

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/pec-milter/pec-milter/internal/point"
)

// PutVerdict records what was judged of a signed content, with its legal-log rows, in
// one step; a second verdict for the same digest and signer replaces the first.
func (l *Log) PutVerdict(ctx context.Context, verdict point.Judgement, events ...point.Event) error {
	rows, err := newRows(events)
	if err != nil {
		return err
	}
	err = l.writer.do(ctx, func(ctx context.Context, tx *transaction) error {
		tx.append(rows)
		return putVerdicts(ctx, tx, []point.Judgement{verdict})
	})
	if err != nil {
		return fmt.Errorf("recording the verdict on content %x: %w", verdict.Digest, err)
	}
	return nil
}

func putVerdicts(ctx context.Context, tx *transaction, verdicts []point.Judgement) error {
	for _, v := range verdicts {
		_, err := tx.ExecContext(ctx, `INSERT INTO verdicts (digest, certificate, own, kind, ordinary, mail_receipt, time)
			VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (digest, certificate) DO UPDATE SET
			own = excluded.own, kind = excluded.kind, ordinary = excluded.ordinary,
			mail_receipt = excluded.mail_receipt, time = excluded.time`,
			v.Digest[:], v.Certificate[:], v.Own, text(string(v.Kind)), v.Ordinary, text(v.MailReceipt), micros(v.Time))
		if err != nil {
			return err
		}
	}
	return nil
}

// Verdict is what was recorded for a digest and a signer's certificate, or
// point.ErrUnknown.
func (l *Log) Verdict(ctx context.Context, digest, certificate [32]byte) (*point.Judgement, error) {
	ctx, cancel := l.bound(ctx)
	defer cancel()
	verdict := point.Judgement{Digest: digest, Certificate: certificate}
	var at sql.Null[int64]
	err := l.query(ctx, `SELECT own, kind, ordinary, mail_receipt, time FROM verdicts
		WHERE digest = $1 AND certificate = $2`, digest[:], certificate[:]).
		Scan(&verdict.Own, &verdict.Kind, &verdict.Ordinary, &verdict.MailReceipt, &at)
	if errors.Is(err, sql.ErrNoRows) {
		err = point.ErrUnknown
	}
	if err != nil {
		return nil, fmt.Errorf("reading the verdict on content %x: %w", digest, err)
	}
	verdict.Time = instant(at)
	return &verdict, nil
}

// BeginDelivery records that a delivery begins, with its legal-log rows, in one step,
// and tells whether it was begun before. The key is claimed, by no transaction: a
// delivery's is no other claim's.
func (l *Log) BeginDelivery(ctx context.Context, key point.Key, events ...point.Event) (again bool, err error) {
	rows, err := newRows(events)
	if err != nil {
		return false, err
	}
	first := false
	err = l.writer.do(ctx, func(ctx context.Context, tx *transaction) (err error) {
		first, err = changes(ctx, tx, "INSERT INTO claims (key, transaction_id) VALUES ($1, $2) ON CONFLICT (key) DO NOTHING",
			key[:], []byte{})
		if err == nil {
			tx.append(rows)
		}
		return err
	})
	if err != nil {
		return false, fmt.Errorf("recording that delivery %x begins: %w", key, err)
	}
	return !first, nil
}

// PutOutcome records how a delivery ended, what it settles, and its legal-log rows, in
// one step. If the key has an outcome already nothing is written. Either way it
// returns what is recorded, exactly as Outcome does.
func (l *Log) PutOutcome(ctx context.Context, key point.Key, outcome point.Outcome, settled point.Settlement, events ...point.Event) (point.Outcome, error) {
	recorded, err := json.Marshal(outcome)
	if err != nil {
		return point.Outcome{}, fmt.Errorf("outcome of delivery %x: %w", key, err)
	}
	rows, err := newRows(events)
	if err != nil {
		return point.Outcome{}, err
	}
	err = l.writer.do(ctx, func(ctx context.Context, tx *transaction) error {
		first, err := changes(ctx, tx, "INSERT INTO outcomes (key, outcome) VALUES ($1, $2) ON CONFLICT (key) DO NOTHING",
			key[:], string(recorded))
		if err != nil {
			return err
		}
		if first {
			tx.append(rows)
			return settle(ctx, tx, settled, outcome.Time)
		}
		return tx.QueryRowContext(ctx, "SELECT outcome FROM outcomes WHERE key = $1", key[:]).Scan(&recorded)
	})
	if err != nil {
		return point.Outcome{}, fmt.Errorf("recording the outcome of delivery %x: %w", key, err)
	}
	return decodeOutcome(key, recorded)
}

// Outcome is how a delivery ended, or point.ErrUnknown.
func (l *Log) Outcome(ctx context.Context, key point.Key) (*point.Outcome, error) {
	ctx, cancel := l.bound(ctx)
	defer cancel()
	var recorded []byte
	err := l.query(ctx, "SELECT outcome FROM outcomes WHERE key = $1", key[:]).Scan(&recorded)
	if errors.Is(err, sql.ErrNoRows) {
		err = point.ErrUnknown
	}
	if err != nil {
		return nil, fmt.Errorf("reading the outcome of delivery %x: %w", key, err)
	}
	outcome, err := decodeOutcome(key, recorded)
	if err != nil {
		return nil, err
	}
	return &outcome, nil
}

func decodeOutcome(key point.Key, recorded []byte) (point.Outcome, error) {
	var outcome point.Outcome
	if err := json.Unmarshal(recorded, &outcome); err != nil {
		return point.Outcome{}, fmt.Errorf("outcome of delivery %x: %w", key, err)
	}
	return outcome, nil
}
