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

// Head is the end of this node's chain.
func (l *Log) Head(ctx context.Context) (Head, error) {
	ctx, cancel := l.bound(ctx)
	defer cancel()
	head, err := headOf(ctx, l.db, l.node)
	if err != nil {
		return Head{}, fmt.Errorf("reading the head of the legal log: %w", err)
	}
	return head, nil
}

// querier is a database or a transaction.
type querier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

func headOf(ctx context.Context, db querier, node string) (Head, error) {
	head := Head{Node: node, Hash: First(node)}
	var hash []byte
	err := db.QueryRowContext(ctx, "SELECT seq, hash FROM events WHERE node = $1 ORDER BY seq DESC LIMIT 1", node).
		Scan(&head.Seq, &hash)
	if errors.Is(err, sql.ErrNoRows) {
		return head, nil
	}
	copy(head.Hash[:], hash)
	return head, err
}

// transaction is that of a batch of steps. The rows of the log that they append
// are written at its end, all at once: the database may be far away.
type transaction struct {
	*sql.Tx
	node    string
	dialect *dialect
	rows    []Row
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
	head, err := tx.head(ctx)
	if err != nil {
		return fmt.Errorf("reading the head of the legal log: %w", err)
	}
	for i := range tx.rows {
		row := &tx.rows[i]
		head.Seq++
		row.Seq, row.Node = head.Seq, tx.node
		if row.Hash, err = head.Hash.Next(*row); err != nil {
			return err
		}
		head.Hash = row.Hash
	}
	for rows := range slices.Chunk(tx.rows, tx.dialect.rows) {
		if err := tx.insert(ctx, rows); err != nil {
			return err
		}
	}
	return nil
}

// head is the number of the last row of all, and the hash of the node's last one.
func (tx *transaction) head(ctx context.Context) (Head, error) {
	head := Head{Node: tx.node, Hash: First(tx.node)}
	var hash []byte
	err := tx.QueryRowContext(ctx, `SELECT COALESCE(max(seq), 0),
		(SELECT hash FROM events WHERE node = $1 ORDER BY seq DESC LIMIT 1) FROM events`, tx.node).Scan(&head.Seq, &hash)
	if hash != nil {
		copy(head.Hash[:], hash)
	}
	return head, err
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
