package legallog

import (
	"context"
	"database/sql"
	"sync"
)

// statements has SQLite read the text of a statement once: to read it takes longer
// than to carry it out. PostgreSQL's driver does so by itself; there it is nil. It is
// safe for concurrent use.
type statements struct {
	db   *sql.DB
	read sync.Map // *sql.Stmt by its text
}

// known is the statement of that text if it was read; otherwise nil.
func (s *statements) known(text string) *sql.Stmt {
	if s == nil {
		return nil
	}
	statement, _ := s.read.Load(text)
	known, _ := statement.(*sql.Stmt)
	return known
}

// learn has texts read. What cannot be read goes on as text, whose error says why. It
// takes a connection: whoever holds one must not call it.
func (s *statements) learn(ctx context.Context, texts ...string) {
	if s == nil {
		return
	}
	for _, text := range texts {
		if s.known(text) != nil {
			continue
		}
		statement, err := s.db.PrepareContext(ctx, text)
		if err != nil {
			continue
		}
		if _, there := s.read.LoadOrStore(text, statement); there {
			_ = statement.Close() // somebody else was faster
		}
	}
}

func (s *statements) close() {
	if s == nil {
		return
	}
	for _, statement := range s.read.Range {
		_ = statement.(*sql.Stmt).Close() // the database closes them too
	}
	s.read.Clear()
}

// query reads one row.
func (l *Log) query(ctx context.Context, text string, args ...any) *sql.Row {
	statements := l.writer.statements
	statements.learn(ctx, text)
	if statement := statements.known(text); statement != nil {
		return statement.QueryRowContext(ctx, args...)
	}
	return l.db.QueryRowContext(ctx, text, args...)
}

// ExecContext carries out a statement in the transaction.
func (tx *transaction) ExecContext(ctx context.Context, text string, args ...any) (sql.Result, error) {
	if statement := tx.statement(ctx, text, args); statement != nil {
		return statement.ExecContext(ctx, args...)
	}
	return tx.Tx.ExecContext(ctx, text, args...)
}

// QueryRowContext reads one row in the transaction.
func (tx *transaction) QueryRowContext(ctx context.Context, text string, args ...any) *sql.Row {
	if statement := tx.statement(ctx, text, args); statement != nil {
		return statement.QueryRowContext(ctx, args...)
	}
	return tx.Tx.QueryRowContext(ctx, text, args...)
}

// statement is that of a text if it was read before; otherwise the text is noted, to
// be read when the transaction is over. Those without arguments (BEGIN and its like)
// are several at once, or cost nothing.
func (tx *transaction) statement(ctx context.Context, text string, args []any) *sql.Stmt {
	if len(args) == 0 {
		return nil
	}
	if known := tx.statements.known(text); known != nil {
		return tx.StmtContext(ctx, known)
	}
	tx.unread = append(tx.unread, text)
	return nil
}
