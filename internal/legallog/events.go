package legallog

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/pec-milter/pec-milter/internal/point"
	"github.com/pec-milter/pec-milter/pec"
)

const eventColumns = `time, kind, door, queue_id, id, reference, notice, notice_id,
	sender, recipients, subject, provider, delivered, taken_for, detail`

// pageSize is how many rows one query reads. Nothing is locked or held open
// between two of them: an export may take hours.
const pageSize = 500

// Append writes events, all or none, durable when it returns. An event without
// a time is refused.
func (l *Log) Append(ctx context.Context, events ...point.Event) error {
	rows, err := eventRows(events)
	if err != nil {
		return err
	}
	err = l.writer.do(ctx, func(ctx context.Context, tx *sql.Tx) error {
		return insertEvents(ctx, tx, rows)
	})
	if err != nil {
		return fmt.Errorf("appending to the legal log: %w", err)
	}
	return nil
}

// Logged tells whether an event of this kind, with this notice id, is there.
// An empty notice id never is.
func (l *Log) Logged(ctx context.Context, kind point.EventKind, noticeID string) (bool, error) {
	ctx, cancel := l.bound(ctx)
	defer cancel()
	var logged bool
	// The last condition lets the query use the index that has it too.
	err := l.db.QueryRowContext(ctx, `SELECT EXISTS (
		SELECT 1 FROM events WHERE notice_id = $1 AND kind = $2 AND notice_id <> '')`,
		text(noticeID), string(kind)).Scan(&logged)
	if err != nil {
		return false, fmt.Errorf("looking for event %s of notice %s: %w", kind, noticeID, err)
	}
	return logged, nil
}

// Failed tells whether a notice that ends the message's way without success was
// issued by us or received from a peer for the PEC msgid: non-accettazione,
// errore-consegna, or the 24 h notice, which its code 5.4.1 (AgID Nota 12)
// tells from the one of 12 h. One that was about to be issued counts: it may
// have left before a crash.
func (l *Log) Failed(ctx context.Context, id string) (bool, error) {
	ctx, cancel := l.bound(ctx)
	defer cancel()
	var failed bool
	err := l.db.QueryRowContext(ctx, `SELECT EXISTS (
		SELECT 1 FROM events WHERE id = $1 AND id <> '' AND kind IN ($2, $3, $4)
		AND (notice IN ($5, $6) OR notice = $7 AND detail LIKE '5.4.1 %'))`,
		text(id), string(point.EventIssuing), string(point.EventIssued), string(point.EventNotification),
		string(pec.NonAcceptance), string(pec.NonDelivery), string(pec.TimeoutNotice)).Scan(&failed)
	if err != nil {
		return false, fmt.Errorf("looking for a notice of failure of %s: %w", id, err)
	}
	return failed, nil
}

// Filter chooses rows of the log. Its zero value chooses all.
type Filter struct {
	After int64  // only rows with a greater Seq
	ID    string // only rows of this PEC msgid, without <>
}

// Row is an event as it stands in the log: Time is in UTC and holds whole
// microseconds. As JSON it is one object on one line, its time in RFC 3339;
// fields that do not apply are left out.
type Row struct {
	Seq int64 // place in the log: rises with each row, may leave gaps
	point.Event
}

// Events reads the log in its order. After an error it gives no more rows.
func (l *Log) Events(ctx context.Context, filter Filter) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		for {
			page, err := l.page(ctx, filter)
			if err != nil {
				yield(Row{}, fmt.Errorf("reading the legal log after row %d: %w", filter.After, err))
				return
			}
			for _, row := range page {
				if !yield(row, nil) {
					return
				}
				filter.After = row.Seq
			}
			if len(page) < pageSize {
				return
			}
		}
	}
}

func (l *Log) page(ctx context.Context, filter Filter) ([]Row, error) {
	ctx, cancel := l.bound(ctx)
	defer cancel()
	where, args := "seq > $1", []any{filter.After}
	if filter.ID != "" {
		where, args = where+" AND id = $2 AND id <> ''", append(args, text(filter.ID))
	}
	rows, err := l.db.QueryContext(ctx, fmt.Sprintf(
		"SELECT seq, %s FROM events WHERE %s ORDER BY seq LIMIT %d", eventColumns, where, pageSize), args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var page []Row
	for rows.Next() {
		row, err := scanRow(rows)
		if err != nil {
			return nil, err
		}
		page = append(page, row)
	}
	return page, rows.Err()
}

func scanRow(rows *sql.Rows) (Row, error) {
	var row Row
	var at sql.Null[int64]
	var recipients, takenFor []byte
	e := &row.Event
	err := rows.Scan(&row.Seq, &at, &e.Kind, &e.Door, &e.QueueID, &e.ID, &e.Reference, &e.Notice, &e.NoticeID,
		&e.Sender, &recipients, &e.Subject, &e.Provider, &e.Delivered, &takenFor, &e.Detail)
	if err != nil {
		return Row{}, err
	}
	e.Time = instant(at)
	err = errors.Join(json.Unmarshal(recipients, &e.Recipients), json.Unmarshal(takenFor, &e.TakenFor))
	if err != nil {
		return Row{}, fmt.Errorf("recipients of row %d: %w", row.Seq, err)
	}
	return row, nil
}

// eventRows prepares events for insertEvents, by its caller's goroutine.
func eventRows(events []point.Event) ([][]any, error) {
	rows := make([][]any, len(events))
	for i, e := range events {
		recipients, err := json.Marshal(e.Recipients)
		takenFor, err2 := json.Marshal(e.TakenFor)
		if err := errors.Join(err, err2); err != nil {
			return nil, fmt.Errorf("recipients of event %s of %s: %w", e.Kind, e.ID, err)
		}
		rows[i] = []any{micros(e.Time), string(e.Kind), string(e.Door), text(e.QueueID), text(e.ID), text(e.Reference),
			text(string(e.Notice)), text(e.NoticeID), text(e.Sender), string(recipients), text(e.Subject),
			text(e.Provider), text(e.Delivered), string(takenFor), text(e.Detail)}
	}
	return rows, nil
}

func insertEvents(ctx context.Context, tx *sql.Tx, rows [][]any) error {
	for _, row := range rows {
		_, err := tx.ExecContext(ctx, `INSERT INTO events (`+eventColumns+`)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)`, row...)
		if err != nil {
			return fmt.Errorf("event %s of %s: %w", row[1], row[4], err)
		}
	}
	return nil
}

// jsonEvent has the fields of point.Event: when that gains one, this no longer
// compiles.
type jsonEvent struct {
	Time       time.Time       `json:"time"`
	Kind       point.EventKind `json:"kind"`
	Door       point.Door      `json:"door,omitempty"`
	QueueID    string          `json:"queue_id,omitempty"`
	ID         string          `json:"id,omitempty"`
	Reference  string          `json:"reference,omitempty"`
	Notice     pec.Kind        `json:"notice,omitempty"`
	NoticeID   string          `json:"notice_id,omitempty"`
	Sender     string          `json:"sender,omitempty"`
	Recipients []pec.Recipient `json:"recipients,omitempty"`
	Subject    string          `json:"subject,omitempty"`
	Provider   string          `json:"provider,omitempty"`
	Delivered  string          `json:"delivered,omitempty"`
	TakenFor   []string        `json:"taken_for,omitempty"`
	Detail     string          `json:"detail,omitempty"`
}

// MarshalJSON leaves < > & as they are, for people to read; an encoder that
// shall do so too needs SetEscapeHTML(false).
func (r Row) MarshalJSON() ([]byte, error) {
	var line bytes.Buffer
	encoder := json.NewEncoder(&line)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(struct {
		Seq int64 `json:"seq"`
		jsonEvent
	}{r.Seq, jsonEvent(r.Event)})
	return line.Bytes(), err
}
