package legallog

import (
	"bytes"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/pec-milter/pec-milter/internal/point"
	"github.com/pec-milter/pec-milter/pec"
)

// Row is an event as it stands in the log: Time is in UTC and holds whole
// microseconds. Its JSON is the canonical line of docs/legallog.md: one object, the
// fields in their order, those that do not apply left out.
type Row struct {
	Seq  int64  // place in the log: each row has the next number
	Node string // which daemon of the provider's wrote it
	// Hash chains the row to the one before of its node: see Next.
	Hash Hash
	point.Event
}

// Hash is a SHA-256. As text it is 64 hexadecimal digits.
type Hash [sha256.Size]byte

func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// MarshalText gives the hexadecimal digits.
func (h Hash) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText reads hexadecimal digits in lower case.
func (h *Hash) UnmarshalText(text []byte) error {
	n, err := hex.Decode(h[:], text[:min(len(text), 2*len(h))])
	if err != nil || n != len(h) || h.String() != string(text) {
		return fmt.Errorf("%q is no SHA-256 in hexadecimal digits", text)
	}
	return nil
}

// jsonEvent has the fields of point.Event: when that gains one, this no longer
// compiles.
type jsonEvent struct {
	Time        time.Time       `json:"time"`
	Kind        point.EventKind `json:"kind"`
	Door        point.Door      `json:"door,omitempty"`
	QueueID     string          `json:"queue_id,omitempty"`
	ID          string          `json:"id,omitempty"`
	Reference   string          `json:"reference,omitempty"`
	Notice      pec.Kind        `json:"notice,omitempty"`
	NoticeID    string          `json:"notice_id,omitempty"`
	NoticeTo    string          `json:"notice_to,omitempty"`
	Related     []string        `json:"related,omitempty"`
	Sender      string          `json:"sender,omitempty"`
	Recipients  []pec.Recipient `json:"recipients,omitempty"`
	ReplyTo     string          `json:"reply_to,omitempty"`
	Subject     string          `json:"subject,omitempty"`
	Provider    string          `json:"provider,omitempty"`
	Size        int64           `json:"size,omitempty"`
	ReceiptType pec.ReceiptType `json:"receipt_type,omitempty"`
	Delivered   string          `json:"delivered,omitempty"`
	TakenFor    []string        `json:"taken_for,omitempty"`
	Error       pec.ErrorKind   `json:"error,omitempty"`
	ErrorDetail string          `json:"error_detail,omitempty"`
	Virus       string          `json:"virus,omitempty"`
	Detail      string          `json:"detail,omitempty"`
}

// jsonRow is a row as JSON; its hash is left out for what is hashed.
type jsonRow struct {
	Seq  int64  `json:"seq"`
	Node string `json:"node"`
	jsonEvent
	Hash *Hash `json:"hash,omitempty"`
}

// MarshalJSON leaves < > & as they are, for people to read; an encoder that
// shall do so too needs SetEscapeHTML(false).
func (r Row) MarshalJSON() ([]byte, error) { return r.encode(&r.Hash) }

// Line is the canonical line, with its line feed.
func (r Row) Line() ([]byte, error) { return r.encode(&r.Hash) }

func (r Row) encode(hash *Hash) ([]byte, error) {
	return encodeLine(jsonRow{r.Seq, r.Node, jsonEvent(r.Event), hash})
}

// ErrNotCanonical means that a line is no row, or is not written as one is.
var ErrNotCanonical = errors.New("not the canonical line of a row")

// ParseLine reads what Line wrote, and nothing else: ErrNotCanonical.
func ParseLine(line []byte) (Row, error) {
	var read jsonRow
	if err := json.Unmarshal(line, &read); err != nil {
		return Row{}, fmt.Errorf("%w: %w", ErrNotCanonical, err)
	}
	row := Row{Seq: read.Seq, Node: read.Node, Event: point.Event(read.jsonEvent)}
	row.Time = row.Time.UTC()
	if read.Hash != nil {
		row.Hash = *read.Hash
	}
	if again, err := row.Line(); err != nil || !bytes.Equal(again, line) {
		return row, ErrNotCanonical
	}
	return row, nil
}

// First is the hash that stands before the first row of a node:
// SHA-256("chain " node LF).
func First(node string) Hash { return sha256.Sum256([]byte("chain " + node + "\n")) }

// Next is the hash of a row after a row with this hash: SHA-256(hash in
// hexadecimal digits, space, the row's line without its own hash). A row of the kind
// restored says itself which hash it comes after.
func (h Hash) Next(row Row) (Hash, error) {
	if lost, is := lossOf(&row); is {
		h = lost.after.Hash
	}
	line, err := row.encode(nil)
	if err != nil {
		return Hash{}, fmt.Errorf("event %s of %s: %w", row.Kind, row.ID, err)
	}
	return sha256.Sum256(append([]byte(h.String()+" "), line...)), nil
}

// eventColumns are the columns of a row, in the order of values and scanRow.
const eventColumns = `seq, node, hash, time, kind, door, queue_id, id, reference, notice, notice_id, notice_to, related,
	sender, recipients, reply_to, subject, provider, size, receipt_type, delivered, taken_for, error, error_detail, virus, detail`

// newRows prepares events to be logged, by its caller's goroutine: with the very
// values that will be read again. An event without a time is refused.
func newRows(events []point.Event) ([]Row, error) {
	rows := make([]Row, len(events))
	for i, e := range events {
		if e.Time.IsZero() {
			return nil, fmt.Errorf("event %s of %s has no time", e.Kind, e.ID)
		}
		e.Time = time.UnixMicro(e.Time.UnixMicro()).UTC()
		for _, s := range []*string{
			&e.QueueID, &e.ID, &e.Reference, (*string)(&e.Notice), &e.NoticeID, &e.NoticeTo, &e.Sender, &e.ReplyTo, &e.Subject,
			&e.Provider, (*string)(&e.ReceiptType), &e.Delivered, (*string)(&e.Error), &e.ErrorDetail, &e.Virus, &e.Detail,
		} {
			*s = text(*s)
		}
		e.Related, e.TakenFor = texts(e.Related), texts(e.TakenFor)
		recipients := append([]pec.Recipient(nil), e.Recipients...)
		for n, r := range recipients {
			recipients[n] = pec.Recipient{Address: text(r.Address), Kind: pec.RecipientKind(text(string(r.Kind)))}
		}
		e.Recipients = recipients
		rows[i].Event = e
	}
	return rows, nil
}

func texts(list []string) []string {
	var kept []string
	for _, s := range list {
		kept = append(kept, text(s))
	}
	return kept
}

// values are those of eventColumns.
func (r *Row) values() ([]any, error) {
	related, err := json.Marshal(r.Related)
	recipients, err2 := json.Marshal(r.Recipients)
	takenFor, err3 := json.Marshal(r.TakenFor)
	if err := errors.Join(err, err2, err3); err != nil {
		return nil, fmt.Errorf("event %s of %s: %w", r.Kind, r.ID, err)
	}
	return []any{
		r.Seq, r.Node, r.Hash[:], micros(r.Time), string(r.Kind), string(r.Door), r.QueueID, r.ID, r.Reference, string(r.Notice),
		r.NoticeID, r.NoticeTo, string(related), r.Sender, string(recipients), r.ReplyTo, r.Subject, r.Provider, r.Size,
		string(r.ReceiptType), r.Delivered, string(takenFor), string(r.Error), r.ErrorDetail, r.Virus, r.Detail,
	}, nil
}

func scanRow(rows *sql.Rows) (Row, error) {
	var row Row
	var at sql.Null[int64]
	var hash, related, recipients, takenFor []byte
	e := &row.Event
	err := rows.Scan(&row.Seq, &row.Node, &hash, &at, &e.Kind, &e.Door, &e.QueueID, &e.ID, &e.Reference, &e.Notice,
		&e.NoticeID, &e.NoticeTo, &related, &e.Sender, &recipients, &e.ReplyTo, &e.Subject, &e.Provider, &e.Size,
		&e.ReceiptType, &e.Delivered, &takenFor, &e.Error, &e.ErrorDetail, &e.Virus, &e.Detail)
	if err != nil {
		return Row{}, err
	}
	e.Time = instant(at)
	copy(row.Hash[:], hash)
	err = errors.Join(json.Unmarshal(related, &e.Related), json.Unmarshal(recipients, &e.Recipients),
		json.Unmarshal(takenFor, &e.TakenFor))
	if err != nil {
		return Row{}, fmt.Errorf("lists of row %d: %w", row.Seq, err)
	}
	return row, nil
}
