package legallog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Head is the end of a node's chain.
type Head struct {
	Node string `json:"node"`
	Seq  int64  `json:"seq"` // of its last row; 0: it has none
	Hash Hash   `json:"hash"`
}

// Rows is about how many rows there are up to there, of all nodes; 0: it cannot be
// told, for numbers were left out after a database was restored.
func (h Head) Rows() int64 {
	if h.Seq > epoch {
		return 0
	}
	return h.Seq
}

// Head is the end of this node's chain.
func (l *Log) Head(ctx context.Context) (Head, error) {
	ctx, cancel := l.bound(ctx)
	defer cancel()
	found, err := endOf(ctx, l.db, l.node)
	if err != nil {
		return Head{}, fmt.Errorf("reading the head of the legal log: %w", err)
	}
	l.writer.memory.see(found)
	return found.Head, nil
}

// querier is a database or a transaction.
type querier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// end is where the log ends, for a node.
type end struct {
	Head       // of its chain
	last int64 // the number of the last row of all
}

func endOf(ctx context.Context, db querier, node string) (end, error) {
	found := end{Head: Head{Node: node, Hash: First(node)}}
	var hash []byte
	err := db.QueryRowContext(ctx, `SELECT seq, hash, (SELECT max(seq) FROM events) FROM events
		WHERE node = $1 ORDER BY seq DESC LIMIT 1`, node).Scan(&found.Seq, &hash, &found.last)
	if errors.Is(err, sql.ErrNoRows) {
		return found, db.QueryRowContext(ctx, "SELECT COALESCE(max(seq), 0) FROM events").Scan(&found.last)
	}
	copy(found.Hash[:], hash)
	return found, err
}

// transaction is that of a batch of steps. The rows of the log that they append
// are written at its end, all at once: the database may be far away.
type transaction struct {
	*sql.Tx
	node       string
	dialect    *dialect
	memory     *memory
	statements *statements
	unread     []string // statements that were not among them
	rows       []Row
	end        end  // of the log, once they are written
	lost       bool // the first of them says that the database was restored
}

// append appends rows to the log at the end of the transaction.
func (tx *transaction) append(rows []Row) { tx.rows = append(tx.rows, rows...) }

// flush numbers, chains and writes the rows. Nobody else writes until the
// transaction ends. What this node wrote last is read each time: a command may
// have written for it too.
func (tx *transaction) flush(ctx context.Context) error {
	if len(tx.rows) == 0 {
		return nil
	}
	found, err := endOf(ctx, tx, tx.node)
	if err != nil {
		return fmt.Errorf("reading the head of the legal log: %w", err)
	}
	after, lost := tx.memory.goOn(found)
	if lost != nil {
		tx.rows, tx.lost = slices.Insert(tx.rows, 0, lost.row(tx.node, tx.rows[0].Time)), true
	}
	for i := range tx.rows {
		row := &tx.rows[i]
		after.last++
		row.Seq, row.Node = after.last, tx.node
		if row.Hash, err = after.Hash.Next(*row); err != nil {
			return err
		}
		after.Seq, after.Hash = row.Seq, row.Hash
	}
	tx.end = after
	for rows := range slices.Chunk(tx.rows, tx.dialect.rows) {
		if err := tx.insert(ctx, rows); err != nil {
			return err
		}
	}
	return nil
}

// placeholders are ($n, $n+1, …), with a comma before if there are others.
func placeholders(after, count int, more bool) string {
	var list []string
	for n := range count {
		list = append(list, fmt.Sprint("$", after+n+1))
	}
	text := "(" + strings.Join(list, ", ") + ")"
	if more {
		text = ", " + text
	}
	return text
}
