package legallog

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/pec-milter/pec-milter/internal/point"
)

const waitColumns = "id, recipient, transaction_id, since, taken_at, first_at, last_at"

// await records what is waited for; a wait that is there already stays.
func await(ctx context.Context, tx *transaction, waits []point.Wait) error {
	for _, w := range waits {
		_, err := tx.ExecContext(ctx, `INSERT INTO waits (id, recipient, transaction_id, since)
			VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`,
			text(w.ID), text(w.Recipient), w.Transaction[:], micros(w.Since))
		if err != nil {
			return fmt.Errorf("recording what %s waits for: %w", w.ID, err)
		}
	}
	return nil
}

// settle records what is waited for no more.
func settle(ctx context.Context, tx *transaction, settled point.Settlement, at time.Time) error {
	if err := settleWaits(ctx, tx, settled.Taken, "taken_at", at); err != nil {
		return err
	}
	return settleWaits(ctx, tx, settled.Ended, "over_at", at)
}

// settleWaits records when something came for waits: the first time stays. A wait that
// is not there yet begins with it.
func settleWaits(ctx context.Context, tx *transaction, waits []point.Wait, column string, at time.Time) error {
	for _, w := range waits {
		_, err := tx.ExecContext(ctx, "INSERT INTO waits (id, recipient, transaction_id, since, "+column+`) VALUES ($1, $2, $3, $4, $5)
			ON CONFLICT (id, recipient) DO UPDATE SET `+column+" = COALESCE(waits."+column+", excluded."+column+")",
			text(w.ID), text(w.Recipient), w.Transaction[:], micros(w.Since), micros(at))
		if err != nil {
			return fmt.Errorf("recording the wait of %s for %s: %w", w.ID, w.Recipient, err)
		}
	}
	return nil
}

// Over ends a wait.
func (l *Log) Over(ctx context.Context, w point.Wait) error {
	return l.updateWait(ctx, w, "over_at = COALESCE(over_at, last_at, $3)", "", w.Since)
}

// DecideFirst fixes the date of the 12 h notice if nothing came so far.
func (l *Log) DecideFirst(ctx context.Context, w point.Wait, at time.Time) (point.Wait, error) {
	err := l.updateWait(ctx, w, "first_at = $3",
		"AND first_at IS NULL AND taken_at IS NULL AND over_at IS NULL", at)
	if err != nil {
		return point.Wait{}, err
	}
	return l.wait(ctx, w)
}

// DecideLast fixes the date of the 24 h notice if the wait has not ended.
func (l *Log) DecideLast(ctx context.Context, w point.Wait, at time.Time) (point.Wait, error) {
	err := l.updateWait(ctx, w, "last_at = $3", "AND last_at IS NULL AND over_at IS NULL", at)
	if err != nil {
		return point.Wait{}, err
	}
	return l.wait(ctx, w)
}

// updateWait changes one wait, if it meets the condition.
func (l *Log) updateWait(ctx context.Context, w point.Wait, set, condition string, at time.Time) error {
	err := l.writer.do(ctx, func(ctx context.Context, tx *transaction) error {
		_, err := tx.ExecContext(ctx, "UPDATE waits SET "+set+" WHERE id = $1 AND recipient = $2 "+condition,
			text(w.ID), text(w.Recipient), micros(at))
		return err
	})
	if err != nil {
		return fmt.Errorf("recording the wait of %s for %s: %w", w.ID, w.Recipient, err)
	}
	return nil
}

// Waits are those that began at that time or before and are not over, the
// oldest first.
func (l *Log) Waits(ctx context.Context, before time.Time) ([]point.Wait, error) {
	ctx, cancel := l.bound(ctx)
	defer cancel()
	rows, err := l.db.QueryContext(ctx, "SELECT "+waitColumns+` FROM waits
		WHERE over_at IS NULL AND since <= $1 ORDER BY since, id, recipient`, micros(before))
	if err != nil {
		return nil, fmt.Errorf("reading waits: %w", err)
	}
	defer rows.Close()
	var waits []point.Wait
	for rows.Next() {
		w, err := scanWait(rows)
		if err != nil {
			return nil, fmt.Errorf("reading waits: %w", err)
		}
		waits = append(waits, w)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("reading waits: %w", err)
	}
	return waits, nil
}

func (l *Log) wait(ctx context.Context, w point.Wait) (point.Wait, error) {
	ctx, cancel := l.bound(ctx)
	defer cancel()
	now, err := scanWait(l.query(ctx, "SELECT "+waitColumns+" FROM waits WHERE id = $1 AND recipient = $2",
		text(w.ID), text(w.Recipient)))
	if err != nil {
		return point.Wait{}, fmt.Errorf("reading the wait of %s for %s: %w", w.ID, w.Recipient, err)
	}
	return now, nil
}

func scanWait(row interface{ Scan(...any) error }) (point.Wait, error) {
	var w point.Wait
	var transaction []byte
	var since, taken, first, last sql.Null[int64]
	if err := row.Scan(&w.ID, &w.Recipient, &transaction, &since, &taken, &first, &last); err != nil {
		return point.Wait{}, err
	}
	copy(w.Transaction[:], transaction)
	w.Since, w.Taken, w.First, w.Last = instant(since), instant(taken), instant(first), instant(last)
	return w, nil
}

// Pending counts the waits that are not over, by the deadline that comes next.
type Pending struct {
	First  int64 // before 12 hours
	Last   int64 // before 24 hours
	Passed int64 // over 24 hours
}

// Pending counts them at a time.
func (l *Log) Pending(ctx context.Context, now time.Time) (Pending, error) {
	ctx, cancel := l.bound(ctx)
	defer cancel()
	var all int64
	var p Pending
	err := l.query(ctx, `SELECT COUNT(*), COALESCE(SUM(CASE WHEN since <= $1 THEN 1 ELSE 0 END), 0),
		COALESCE(SUM(CASE WHEN since <= $2 THEN 1 ELSE 0 END), 0) FROM waits WHERE over_at IS NULL`,
		micros(now.Add(-12*time.Hour)), micros(now.Add(-24*time.Hour))).Scan(&all, &p.Last, &p.Passed)
	if err != nil {
		return Pending{}, fmt.Errorf("counting waits: %w", err)
	}
	p.First, p.Last = all-p.Last, p.Last-p.Passed
	return p, nil
}
