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
	mu   sync.Mutex
	read map[string]*sql.Stmt
}

// known is the statement of that text if it was read; otherwise nil.
func (s *statements) known(text string) *sql.Stmt {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.read[text]
}

// learn has texts read. What cannot be read goes on as text, whose error says why. It
// takes a connection: nobody who holds one may call it.
func (s *statements) learn(ctx context.Context, texts ...string) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, text := range texts {
		if s.read[text] != nil {
			continue
		}
		if statement, err := s.db.PrepareContext(ctx, text); err == nil {
			s.read[text] = statement
		}
	}
}

func (s *statements) close() {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, statement := range s.read {
		_ = statement.Close() // the database closes them too
	}
	clear(s.read)
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
