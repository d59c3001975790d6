package legallog

import (
	"context"
	"fmt"
	"iter"

	"github.com/pec-milter/pec-milter/internal/point"
	"github.com/pec-milter/pec-milter/pec"
)

// pageSize is how many rows one query reads. Nothing is locked or held open
// between two of them: an export may take hours.
const pageSize = 500

// Append writes events, all or none, durable when it returns. An event without
// a time is refused.
func (l *Log) Append(ctx context.Context, events ...point.Event) error {
	rows, err := newRows(events)
	if err != nil {
		return err
	}
	err = l.writer.do(ctx, func(_ context.Context, tx *transaction) error {
		tx.append(rows)
		return nil
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
	err := l.query(ctx, `SELECT EXISTS (
		SELECT 1 FROM events WHERE notice_id = $1 AND kind = $2 AND notice_id <> '')`,
		text(noticeID), string(kind)).Scan(&logged)
	if err != nil {
		return false, fmt.Errorf("looking for event %s of notice %s: %w", kind, noticeID, err)
	}
	return logged, nil
}

// Ended tells whether the delivery to a recipient of what the MTA's queue had under
// this id ended, well or not. messageID is the PEC msgid of an envelope, or the id of a
// notice.
func (l *Log) Ended(ctx context.Context, queueID, messageID, recipient string) (bool, error) {
	ctx, cancel := l.bound(ctx)
	defer cancel()
	var ended bool
	err := l.query(ctx, endedQuery, text(messageID), string(point.EventDelivered), string(point.EventUndelivered), text(queueID), text(recipient)).
		Scan(&ended)
	if err != nil {
		return false, fmt.Errorf("looking for the end of message %s for %s: %w", messageID, recipient, err)
	}
	return ended, nil
}

const endedQuery = `SELECT EXISTS (
	SELECT 1 FROM events WHERE id = $1 AND id <> '' AND kind IN ($2, $3) AND queue_id = $4 AND delivered = $5
	UNION ALL
	SELECT 1 FROM events WHERE notice_id = $1 AND notice_id <> '' AND kind IN ($2, $3) AND queue_id = $4 AND delivered = $5)`

// Failed tells whether a notice that ends the message's way without success was
// issued by us or received from a peer for the PEC msgid: non-accettazione,
// errore-consegna, or the 24 h notice, which its code 5.4.1 (AgID Nota 12)
// tells from the one of 12 h. One that was about to be issued counts: it may
// have left before a crash.
func (l *Log) Failed(ctx context.Context, id string) (bool, error) {
	ctx, cancel := l.bound(ctx)
	defer cancel()
	var failed bool
	err := l.query(ctx, `SELECT EXISTS (
		SELECT 1 FROM events WHERE id = $1 AND id <> '' AND kind IN ($2, $3, $4)
		AND (notice IN ($5, $6) OR notice = $7 AND error_detail LIKE '5.4.1 %'))`,
		text(id), string(point.EventIssuing), string(point.EventIssued), string(point.EventNotification),
		string(pec.NonAcceptance), string(pec.NonDelivery), string(pec.TimeoutNotice)).Scan(&failed)
	if err != nil {
		return false, fmt.Errorf("looking for a notice of failure of %s: %w", id, err)
	}
	return failed, nil
}

// Filter chooses rows of the log. Its zero value chooses all.
type Filter struct {
	After  int64  // only rows with a greater Seq
	Before int64  // only rows with a smaller Seq; 0: no bound
	ID     string // only rows of this PEC msgid, without <>
	Node   string // only rows of this node
	Limit  int    // at most so many rows
}

// Events reads the log in its order. After an error it gives no more rows.
func (l *Log) Events(ctx context.Context, filter Filter) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		for {
			size := pageSize
			if filter.Limit > 0 {
				size = min(size, filter.Limit)
			}
			page, err := l.page(ctx, filter, size)
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
			if len(page) < size {
				return
			}
			if filter.Limit > 0 {
				if filter.Limit -= len(page); filter.Limit == 0 {
					return
				}
			}
		}
	}
}

func (l *Log) page(ctx context.Context, filter Filter, size int) ([]Row, error) {
	ctx, cancel := l.bound(ctx)
	defer cancel()
	where, args := "seq > $1", []any{filter.After}
	if filter.Before != 0 {
		args = append(args, filter.Before)
		where += fmt.Sprintf(" AND seq < $%d", len(args))
	}
	if filter.ID != "" {
		args = append(args, text(filter.ID))
		where += fmt.Sprintf(" AND id = $%d AND id <> ''", len(args))
	}
	if filter.Node != "" {
		args = append(args, filter.Node)
		where += fmt.Sprintf(" AND node = $%d", len(args))
	}
	return queryRows(ctx, l.db, fmt.Sprintf("%s ORDER BY seq LIMIT %d", where, size), args...)
}
