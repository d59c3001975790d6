package legallog

import (
	"context"
	"database/sql"
	"fmt"
	"iter"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/pec-milter/pec-milter/internal/point"
	"github.com/pec-milter/pec-milter/pec"
)

// Query says which messages are searched for: those of whom all holds that is
// given. Its zero value finds all.
type Query struct {
	ID        string // PEC msgid, without <>
	MessageID string // the user's Message-ID, or that of a notice, with or without <>
	QueueID   string // the MTA's, with which the message came in
	Sender    string // address, in any case
	Recipient string // address, in any case, of any kind of recipient
	Domain    string // of the sender or a recipient
	Subject   string // part of the subject, in any case
	// From and To bound the time at which the message came into the log: not
	// before From, before To. Zero: no bound.
	From, To time.Time
	// Kind chooses among the rows of the messages: those of this kind of event, or
	// about this kind of notice.
	Kind string
}

// The rows that one query reads, and the recipients of the messages whose rows it
// reads, for each recipient has several rows that list all.
const (
	searchPage = 200
	searchLoad = 200
)

// Search gives the rows of each message that is found, the messages in the order
// in which they came into the log. A row that is of no message is given alone. After
// an error there are no more.
//
// By ID, MessageID, QueueID, Sender, Recipient and Domain messages are found by an index,
// which has them by time. By From and To alone all messages of that time are found,
// and read if there is a Subject or a Kind.
func (l *Log) Search(ctx context.Context, q Query) iter.Seq2[[]Row, error] {
	return func(yield func([]Row, error) bool) {
		find := l.found(q)
		for after, more := (place{math.MinInt64, 0}), true; more; {
			var messages [][]Row
			var err error
			messages, after, more, err = find(ctx, after)
			if err != nil {
				yield(nil, fmt.Errorf("searching the legal log: %w", err))
				return
			}
			for _, message := range messages {
				if rows := q.ofKind(message); len(rows) > 0 && !yield(rows, nil) {
					return
				}
			}
		}
	}
}

// place is where a row stands in the order of time.
type place struct{ time, seq int64 }

// finder reads a page of what is found after a place, and tells the place to go on
// after, and whether there may be more.
type finder func(ctx context.Context, after place) ([][]Row, place, bool, error)

// found is how messages are found: by what finds the fewest.
func (l *Log) found(q Query) finder {
	switch {
	case q.ID != "":
		return l.foundByID(q)
	case q.MessageID != "":
		return l.foundByMessageID(q)
	case q.QueueID != "":
		return l.foundBy(q, newTerm(termQueueID, q.QueueID))
	case q.Recipient != "":
		return l.foundBy(q, newTerm(termRecipient, strings.ToLower(q.Recipient)))
	case q.Sender != "":
		return l.foundBy(q, newTerm(termSender, strings.ToLower(q.Sender)))
	case q.Domain != "":
		return l.foundBy(q, newTerm(termDomain, strings.ToLower(q.Domain)))
	}
	return l.foundBy(q, termAll)
}

func (l *Log) foundByID(q Query) finder {
	return func(ctx context.Context, after place) ([][]Row, place, bool, error) {
		rows, err := l.rowsOf(ctx, []string{q.ID})
		if message := rows[q.ID]; len(message) > 0 && q.matches(first(message)) {
			return [][]Row{message}, after, false, err
		}
		return nil, after, false, err
	}
}

// foundByMessageID: the user's Message-ID is in the index; a notice's Message-ID
// leads to the message that it is about.
func (l *Log) foundByMessageID(q Query) finder {
	return func(ctx context.Context, after place) ([][]Row, place, bool, error) {
		messages, next, more, err := l.foundBy(q, newTerm(termReference, bare(q.MessageID)))(ctx, after)
		if err != nil || len(messages) > 0 || more || after.time != math.MinInt64 {
			return messages, next, more, err
		}
		notices, err := l.rows(ctx, "notice_id = $1 AND notice_id <> '' LIMIT 1", text(bare(q.MessageID)))
		if err != nil || len(notices) == 0 {
			return nil, after, false, err
		}
		about := q
		about.ID, about.MessageID = notices[0].ID, ""
		return l.foundByID(about)(ctx, after)
	}
}

// foundBy finds by a term, in the order of time.
func (l *Log) foundBy(q Query, t term) finder {
	return func(ctx context.Context, after place) ([][]Row, place, bool, error) {
		places, err := l.places(ctx, t, after, q)
		if err != nil || len(places) == 0 {
			return nil, after, false, err
		}
		last := places[len(places)-1]
		found, err := l.rowsAt(ctx, places)
		if err == nil {
			found = slices.DeleteFunc(found, func(row Row) bool { return !q.matches(&row) })
		}
		if err != nil {
			return nil, after, false, err
		}
		messages, err := l.messages(ctx, q, found)
		return messages, last, len(places) == searchPage, err
	}
}

// places are those that a term finds.
func (l *Log) places(ctx context.Context, t term, after place, q Query) ([]place, error) {
	ctx, cancel := l.bound(ctx)
	defer cancel()
	if !q.From.IsZero() {
		after.time = max(after.time, q.From.UnixMicro()-1)
	}
	to := int64(math.MaxInt64)
	if !q.To.IsZero() {
		to = q.To.UnixMicro()
	}
	rows, err := l.db.QueryContext(ctx, placesQuery, int64(t), after.time, after.seq, to)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var found []place
	for rows.Next() {
		var p place
		if err := rows.Scan(&p.time, &p.seq); err != nil {
			return nil, err
		}
		found = append(found, p)
	}
	return found, rows.Err()
}

// placesQuery says twice that the time is bound: the second is for the partitions.
var placesQuery = fmt.Sprintf(`SELECT time, seq FROM search WHERE term = $1 AND (time, seq) > ($2, $3) AND time >= $2 AND time < $4
	ORDER BY time, seq LIMIT %d`, searchPage)

// rowsAt reads the rows of places, in their order. One that has gone in the
// meantime is left out.
func (l *Log) rowsAt(ctx context.Context, places []place) ([]Row, error) {
	args := []any{places[0].time, places[len(places)-1].time}
	for _, p := range places {
		args = append(args, p.seq)
	}
	rows, err := l.rows(ctx, "time >= $1 AND time <= $2 AND seq IN "+placeholders(2, len(places), false), args...)
	order := map[int64]int{}
	for n, p := range places {
		order[p.seq] = n
	}
	slices.SortFunc(rows, func(a, b Row) int { return order[a.Seq] - order[b.Seq] })
	return rows, err
}

// messages reads the messages that rows bring in. A message that more than one of
// the rows that match brings in is given with the first.
func (l *Log) messages(ctx context.Context, q Query, found []Row) ([][]Row, error) {
	var messages [][]Row
	for len(found) > 0 {
		var ids []string
		n := 0
		for load := 0; n < len(found) && (n == 0 || load < searchLoad); n++ {
			load += 1 + len(found[n].Recipients)
			if found[n].ID != "" {
				ids = append(ids, found[n].ID)
			}
		}
		of, err := l.rowsOf(ctx, ids)
		if err != nil {
			return nil, err
		}
		for _, row := range found[:n] {
			if row.ID == "" {
				messages = append(messages, []Row{row})
			} else if q.firstMatch(of[row.ID]) == row.Seq {
				messages = append(messages, of[row.ID])
			}
		}
		found = found[n:]
	}
	return messages, nil
}

// rowsOf reads all rows of messages.
func (l *Log) rowsOf(ctx context.Context, ids []string) (map[string][]Row, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	var args []any
	for _, id := range ids {
		args = append(args, text(id))
	}
	rows, err := l.rows(ctx, "id <> '' AND id IN "+placeholders(0, len(args), false)+" ORDER BY seq", args...)
	of := map[string][]Row{}
	for _, row := range rows {
		of[row.ID] = append(of[row.ID], row)
	}
	return of, err
}

// rows reads the rows that a condition chooses, which must be few.
func (l *Log) rows(ctx context.Context, condition string, args ...any) ([]Row, error) {
	ctx, cancel := l.bound(ctx)
	defer cancel()
	return queryRows(ctx, l.db, condition, args...)
}

// rowQuerier is a database or a transaction.
type rowQuerier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

func queryRows(ctx context.Context, db rowQuerier, condition string, args ...any) ([]Row, error) {
	rows, err := db.QueryContext(ctx, "SELECT "+eventColumns+" FROM events WHERE "+condition, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var found []Row
	for rows.Next() {
		row, err := scanRow(rows)
		if err != nil {
			return nil, err
		}
		found = append(found, row)
	}
	return found, rows.Err()
}

// first is the row that brings a message in, or where there is none its first row.
func first(message []Row) *Row {
	for n := range message {
		if introduces(&message[n].Event) {
			return &message[n]
		}
	}
	return &message[0]
}

// firstMatch is the seq of the first row in time that brings the message in and
// matches.
func (q *Query) firstMatch(message []Row) int64 {
	var found *Row
	for n := range message {
		row := &message[n]
		if introduces(&row.Event) && q.matches(row) && (found == nil || row.Time.Before(found.Time)) {
			found = row
		}
	}
	if found == nil {
		return 0
	}
	return found.Seq
}

// matches tells whether a row that brings a message in has what is searched for.
func (q *Query) matches(row *Row) bool {
	e := &row.Event
	switch {
	case q.ID != "" && e.ID != q.ID,
		q.QueueID != "" && e.QueueID != q.QueueID,
		q.MessageID != "" && bare(e.Reference) != bare(q.MessageID),
		q.Sender != "" && !strings.EqualFold(e.Sender, q.Sender),
		q.Recipient != "" && !isRecipient(e, q.Recipient),
		q.Domain != "" && !hasDomain(e, strings.ToLower(q.Domain)),
		q.Subject != "" && !strings.Contains(strings.ToLower(e.Subject), strings.ToLower(q.Subject)),
		!q.From.IsZero() && e.Time.Before(q.From),
		!q.To.IsZero() && !e.Time.Before(q.To):
		return false
	}
	return true
}

func isRecipient(e *point.Event, address string) bool {
	return slices.ContainsFunc(e.Recipients, func(r pec.Recipient) bool {
		return strings.EqualFold(r.Address, address)
	})
}

func hasDomain(e *point.Event, domain string) bool {
	return pec.Domain(e.Sender) == domain || slices.ContainsFunc(e.Recipients, func(r pec.Recipient) bool {
		return pec.Domain(r.Address) == domain
	})
}

// ofKind are the rows of the kind that is searched for.
func (q *Query) ofKind(message []Row) []Row {
	if q.Kind == "" {
		return message
	}
	var rows []Row
	for _, row := range message {
		if string(row.Kind) == q.Kind || string(row.Notice) == q.Kind {
			rows = append(rows, row)
		}
	}
	return rows
}
