package legallog

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/pec-milter/pec-milter/internal/point"
	"github.com/pec-milter/pec-milter/pec"
)

// The table search finds messages by who and what is in them. It has rows for
// those rows of the log alone that bring a message in, for all others have its id:
// one for each term. A term is a number, so that addresses and Message-IDs of any
// length have a short key; that two texts have the same one does no harm, for what
// is found is compared with what was asked for. The table proves nothing and is
// not sealed.
type term int64

// The kinds of terms. Addresses are in lower case: who searches may not know how
// one was written.
const (
	termSender    = "sender"    // its address
	termRecipient = "recipient" // its address
	termDomain    = "domain"    // of the sender or a recipient
	termReference = "reference" // the user's Message-ID, without <>
	termQueueID   = "queue id"  // the MTA's, of the transaction
)

// termAll is that of every row that brings a message in: by it, they are read in
// the order of their time.
const termAll term = 0

// newTerm is the first 8 bytes of SHA-256(kind, space, value).
func newTerm(kind, value string) term {
	sum := sha256.Sum256([]byte(kind + " " + value))
	return term(binary.BigEndian.Uint64(sum[:8]))
}

// introduces tells whether a row brings a message in, or is of none.
func introduces(e *point.Event) bool {
	switch e.Kind {
	case point.EventAccepted, point.EventReceived, point.EventRepeated, point.EventAnomaly, point.EventRefused:
		return true
	}
	return e.ID == ""
}

// terms are what a row is found by, each once.
func terms(e *point.Event) map[term]bool {
	if !introduces(e) {
		return nil
	}
	found := map[term]bool{termAll: true}
	add := func(kind, value string) {
		if value != "" {
			found[newTerm(kind, value)] = true
		}
	}
	add(termReference, bare(e.Reference))
	add(termQueueID, e.QueueID)
	add(termSender, strings.ToLower(e.Sender))
	add(termDomain, pec.Domain(e.Sender))
	for _, r := range e.Recipients {
		add(termRecipient, strings.ToLower(r.Address))
		add(termDomain, pec.Domain(r.Address))
	}
	return found
}

// bare is a Message-ID without its angle brackets.
func bare(id string) string { return strings.Trim(strings.TrimSpace(id), "<>") }

// indexed is what the table search gets for rows: a list of [term, time, seq].
func indexed(rows []Row) ([]byte, error) {
	list := [][3]int64{}
	for i := range rows {
		for t := range terms(&rows[i].Event) {
			list = append(list, [3]int64{int64(t), rows[i].Time.UnixMicro(), rows[i].Seq})
		}
	}
	return json.Marshal(list)
}

// insert writes rows into the log and the table search.
func (tx *transaction) insert(ctx context.Context, rows []Row) error {
	query, args, err := insertion(rows)
	if err != nil {
		return err
	}
	index, err := indexed(rows)
	if err != nil {
		return err
	}
	if tx.dialect.oneStatement {
		query = "WITH logged AS (" + query + ") " + fmt.Sprintf(tx.dialect.index, len(args)+1)
		_, err = tx.ExecContext(ctx, query, append(args, string(index))...)
	} else if _, err = tx.ExecContext(ctx, query, args...); err == nil && len(index) > len("[]") {
		_, err = tx.ExecContext(ctx, fmt.Sprintf(tx.dialect.index, 1), string(index))
	}
	if err != nil {
		return fmt.Errorf("writing %d rows of the legal log: %w", len(rows), err)
	}
	return nil
}

// insertion is the statement that writes rows into the log.
func insertion(rows []Row) (string, []any, error) {
	var query strings.Builder
	query.WriteString("INSERT INTO events (" + eventColumns + ") VALUES ")
	var args []any
	for i := range rows {
		values, err := rows[i].values()
		if err != nil {
			return "", nil, err
		}
		query.WriteString(placeholders(len(args), len(values), i > 0))
		args = append(args, values...)
	}
	return query.String(), args, nil
}
