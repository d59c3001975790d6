package legallog

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/pec-milter/pec-milter/internal/point"
)

const intentColumns = "id, key, generation, door, time, sent_at, committed_at, facts"

// LatestIntent is the intent of the highest generation for a key, or
// point.ErrUnknown.
func (l *Log) LatestIntent(ctx context.Context, key point.Key) (*point.Intent, error) {
	ctx, cancel := l.bound(ctx)
	defer cancel()
	intent, err := scanIntent(l.query(ctx,
		"SELECT "+intentColumns+" FROM intents WHERE key = $1 ORDER BY generation DESC LIMIT 1", key[:]))
	if err != nil {
		return nil, fmt.Errorf("reading the latest intent of submission %x: %w", key, err)
	}
	return intent, nil
}

// Intent finds an intent by its transaction, or point.ErrUnknown.
func (l *Log) Intent(ctx context.Context, id point.TransactionID) (*point.Intent, error) {
	ctx, cancel := l.bound(ctx)
	defer cancel()
	intent, err := scanIntent(l.query(ctx,
		"SELECT "+intentColumns+" FROM intents WHERE id = $1", id[:]))
	if err != nil {
		return nil, fmt.Errorf("reading intent %x: %w", id, err)
	}
	return intent, nil
}

// Submission is the intent of the access door's message with a PEC msgid, or
// point.ErrUnknown.
func (l *Log) Submission(ctx context.Context, msgid string) (*point.Intent, error) {
	ctx, cancel := l.bound(ctx)
	defer cancel()
	intent, err := scanIntent(l.query(ctx, "SELECT "+intentColumns+` FROM intents
		WHERE msgid = $1 AND msgid <> '' AND door = $2 ORDER BY generation DESC LIMIT 1`, text(msgid), string(point.AccessDoor)))
	if err != nil {
		return nil, fmt.Errorf("reading the submission of %s: %w", msgid, err)
	}
	return intent, nil
}

// Unfinished gives the intents that were sent but never seen committed, the
// oldest first. One that was sent within the queue's lifetime may still be in
// the queue; what is older has left it unseen.
func (l *Log) Unfinished(ctx context.Context) ([]*point.Intent, error) {
	ctx, cancel := l.bound(ctx)
	defer cancel()
	rows, err := l.db.QueryContext(ctx, "SELECT "+intentColumns+` FROM intents
		WHERE sent_at IS NOT NULL AND committed_at IS NULL ORDER BY sent_at`)
	if err != nil {
		return nil, fmt.Errorf("reading unfinished intents: %w", err)
	}
	defer rows.Close()
	var unfinished []*point.Intent
	for rows.Next() {
		intent, err := scanIntent(rows)
		if err != nil {
			return nil, fmt.Errorf("reading unfinished intents: %w", err)
		}
		unfinished = append(unfinished, intent)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("reading unfinished intents: %w", err)
	}
	return unfinished, nil
}

// AddIntent records a new intent and its legal-log rows in one step;
// point.ErrConflict if its id, or its key and generation, are taken, or if
// last, the generation before, was sent or committed since it was read.
func (l *Log) AddIntent(ctx context.Context, intent, last *point.Intent, events ...point.Event) error {
	facts, err := json.Marshal(intent.Facts)
	if err != nil {
		return fmt.Errorf("facts of intent %x: %w", intent.ID, err)
	}
	rows, err := newRows(events)
	if err != nil {
		return err
	}
	values := []any{intent.ID[:], intent.Key[:], intent.Generation, string(intent.Door), micros(intent.Time),
		micros(intent.SentAt), micros(intent.Committed), string(facts), text(intent.Facts.Data.ID)}
	err = l.writer.do(ctx, func(ctx context.Context, tx *transaction) error {
		if err := checkUnchanged(ctx, tx, last); err != nil {
			return err
		}
		added, err := changes(ctx, tx, "INSERT INTO intents ("+intentColumns+`, msgid)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING`, values...)
		if err == nil && !added {
			err = point.ErrConflict
		}
		if err != nil {
			return err
		}
		tx.append(rows)
		return nil
	})
	if err != nil {
		return fmt.Errorf("recording intent %x: %w", intent.ID, err)
	}
	return nil
}

// checkUnchanged gives point.ErrConflict if an intent has reached another phase
// since it was read. nil has not changed.
func checkUnchanged(ctx context.Context, tx *transaction, intent *point.Intent) error {
	if intent == nil {
		return nil
	}
	now, err := scanIntent(tx.QueryRowContext(ctx, "SELECT "+intentColumns+" FROM intents WHERE id = $1", intent.ID[:]))
	if err != nil {
		return err
	}
	if !now.SentAt.Equal(intent.SentAt) || !now.Committed.Equal(intent.Committed) {
		return point.ErrConflict
	}
	return nil
}

// MarkSent records, in one step, that the accept is about to be given, and what was
// judged of the message that goes on; a later call replaces the time.
// point.ErrConflict once the key has a later generation, point.ErrUnknown without such
// an intent.
func (l *Log) MarkSent(ctx context.Context, id point.TransactionID, at time.Time, verdicts ...point.Judgement) error {
	err := l.writer.do(ctx, func(ctx context.Context, tx *transaction) error {
		if err := markSent(ctx, tx, id, at); err != nil {
			return err
		}
		return putVerdicts(ctx, tx, verdicts)
	})
	if err != nil {
		return fmt.Errorf("recording transaction %x as sent: %w", id, err)
	}
	return nil
}

func markSent(ctx context.Context, tx *transaction, id point.TransactionID, at time.Time) error {
	marked, err := changes(ctx, tx, `UPDATE intents SET sent_at = $2 WHERE id = $1 AND NOT EXISTS (
		SELECT 1 FROM intents AS later WHERE later.key = intents.key AND later.generation > intents.generation)`,
		id[:], micros(at))
	if err != nil || marked {
		return err
	}
	var known bool
	err = tx.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM intents WHERE id = $1)", id[:]).Scan(&known)
	if err == nil && known {
		err = point.ErrConflict
	} else if err == nil {
		err = point.ErrUnknown
	}
	return err
}

// MarkCommitted records that the message was seen in the queue; the first time
// stays. In the same step it records what is waited for, claims the keys for this
// transaction, and tells for each whether it is this transaction's, now or from
// before. point.ErrUnknown without such an intent.
func (l *Log) MarkCommitted(ctx context.Context, id point.TransactionID, at time.Time, claims []point.Key, waits ...point.Wait) ([]bool, error) {
	claims = append([]point.Key(nil), claims...)
	own := make([]bool, len(claims))
	err := l.writer.do(ctx, func(ctx context.Context, tx *transaction) error {
		known, err := changes(ctx, tx,
			"UPDATE intents SET committed_at = COALESCE(committed_at, $2) WHERE id = $1", id[:], micros(at))
		if err == nil && !known {
			err = point.ErrUnknown
		}
		for i := 0; i < len(claims) && err == nil; i++ {
			own[i], err = claim(ctx, tx, claims[i], id)
		}
		if err != nil {
			return err
		}
		return await(ctx, tx, waits)
	})
	if err != nil {
		return nil, fmt.Errorf("recording transaction %x as committed: %w", id, err)
	}
	return own, nil
}

// claim gives key to id unless it is taken, and tells whether id has it.
func claim(ctx context.Context, tx *transaction, key point.Key, id point.TransactionID) (bool, error) {
	var owner []byte
	// The update changes nothing: it is there for RETURNING to see a row that
	// was there before.
	err := tx.QueryRowContext(ctx, `INSERT INTO claims (key, transaction_id) VALUES ($1, $2)
		ON CONFLICT (key) DO UPDATE SET transaction_id = claims.transaction_id RETURNING transaction_id`,
		key[:], id[:]).Scan(&owner)
	if err != nil {
		return false, fmt.Errorf("claiming %x: %w", key, err)
	}
	return bytes.Equal(owner, id[:]), nil
}

// changes runs a statement and tells whether it changed any row.
func changes(ctx context.Context, tx *transaction, query string, args ...any) (bool, error) {
	result, err := tx.ExecContext(ctx, query, args...)
	if err != nil {
		return false, err
	}
	rows, err := result.RowsAffected()
	return rows > 0, err
}

func scanIntent(row interface{ Scan(...any) error }) (*point.Intent, error) {
	var intent point.Intent
	var id, key, facts []byte
	var at, sent, committed sql.Null[int64]
	err := row.Scan(&id, &key, &intent.Generation, &intent.Door, &at, &sent, &committed, &facts)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, point.ErrUnknown
	}
	if err != nil {
		return nil, err
	}
	if copy(intent.ID[:], id) != len(intent.ID) || copy(intent.Key[:], key) != len(intent.Key) {
		return nil, fmt.Errorf("intent %x has a damaged id or key", id)
	}
	intent.Time, intent.SentAt, intent.Committed = instant(at), instant(sent), instant(committed)
	if err := json.Unmarshal(facts, &intent.Facts); err != nil {
		return nil, fmt.Errorf("facts of intent %x: %w", id, err)
	}
	return &intent, nil
}
