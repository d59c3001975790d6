package legallog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"time"
)

// A disk needs 2 to 10 ms to make a commit durable, whatever its size: the
// steps of callers that wait at the same time share one.
const maxBatch = 100 // steps in one commit

var errClosed = errors.New("the legal log is closed")

// writer runs steps, each of them wholly or not at all, in the order in which
// it takes them.
type writer struct {
	db         *sql.DB
	node       string // whose chain the rows of the log go on
	dialect    dialect
	timeout    time.Duration // of one commit with all its steps
	memory     *memory
	statements *statements
	alarm      func(Row)  // told when the database was restored; nil: nobody is
	steps      chan *step // unbuffered: who is not taken yet can still go away
	quit       chan struct{}
	ended      chan struct{}
	once       sync.Once
}

type step struct {
	ctx  context.Context // its caller's
	run  func(context.Context, *transaction) error
	err  error
	done chan error
}

func startWriter(db *sql.DB, node string, d dialect) *writer {
	w := &writer{
		db: db, node: node, dialect: d, timeout: defaultTimeout, memory: &memory{},
		steps: make(chan *step), quit: make(chan struct{}), ended: make(chan struct{}),
	}
	if d.statements {
		w.statements = &statements{db: db}
	}
	go w.serve()
	return w
}

func (w *writer) close() {
	w.once.Do(func() { close(w.quit) })
	<-w.ended
	w.statements.close()
}

// do returns when what run did is durable, or with run's error, having done
// nothing. When ctx ends first the step may still be done later: run must not
// touch what its caller may change. Nor may it use its caller's context: a
// statement that is interrupted takes the whole batch with it.
func (w *writer) do(ctx context.Context, run func(context.Context, *transaction) error) error {
	s := &step{ctx: ctx, run: run, done: make(chan error, 1)}
	select {
	case w.steps <- s:
	case <-w.quit:
		return errClosed
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-s.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (w *writer) serve() {
	defer close(w.ended)
	for {
		select {
		case first := <-w.steps:
			w.commit(w.gather(first))
		case <-w.quit:
			return
		}
	}
}

// gather takes all who wait already. It waits for nobody: under load the last
// commit's time has gathered them, without load there is nobody to wait for.
func (w *writer) gather(first *step) []*step {
	batch := []*step{first}
	for len(batch) < maxBatch {
		select {
		case s := <-w.steps:
			batch = append(batch, s)
		default:
			return batch
		}
	}
	return batch
}

// commit answers nobody before the outcome of the commit is known: a conflict
// with a step that was not recorded after all is none.
func (w *writer) commit(batch []*step) {
	err := w.transact(batch)
	for _, s := range batch {
		if err != nil {
			s.err = err
		}
		s.done <- s.err
	}
}

func (w *writer) transact(batch []*step) error {
	ctx, cancel := context.WithTimeout(context.Background(), w.timeout)
	defer cancel()
	begun, err := w.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("beginning a transaction: %w", err)
	}
	tx := &transaction{Tx: begun, node: w.node, dialect: &w.dialect, memory: w.memory, statements: w.statements}
	defer tx.Rollback() // after Commit it does nothing, before it the error is told already
	if err := w.carryOut(ctx, tx, batch); err != nil {
		return err
	}
	if len(batch) == 1 && batch[0].err != nil {
		return nil // nothing of it stays
	}
	if err := tx.flush(ctx); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("committing: %w", err)
	}
	w.memory.see(tx.end)
	w.statements.learn(ctx, tx.unread...)
	if tx.lost && w.alarm != nil {
		w.alarm(tx.rows[0])
	}
	return nil
}

// carryOut runs the steps of a batch. One that is alone needs no savepoint: if it
// fails, the transaction has nothing else to keep.
func (w *writer) carryOut(ctx context.Context, tx *transaction, batch []*step) error {
	alone := len(batch) == 1
	prepare := w.dialect.turn
	if !alone {
		prepare += "SAVEPOINT step"
	}
	if prepare != "" {
		if _, err := tx.ExecContext(ctx, prepare); err != nil {
			return fmt.Errorf("waiting for the other nodes to write: %w", err)
		}
	}
	if alone {
		batch[0].carryOut(ctx, tx)
		return nil
	}
	for _, s := range batch {
		if err := s.within(ctx, tx); err != nil {
			return err
		}
	}
	return nil
}

// carryOut runs the step, unless its caller has gone away.
func (s *step) carryOut(ctx context.Context, tx *transaction) {
	if s.err = s.ctx.Err(); s.err == nil {
		s.err = s.run(ctx, tx)
	}
}

// within runs the step in a savepoint, and sets that of the next one: in one
// statement, for the database may be far away. It returns an error when the
// whole transaction is lost: a full disk, for one, undoes all of it, and the
// savepoint is gone.
func (s *step) within(ctx context.Context, tx *transaction) error {
	logged := len(tx.rows)
	if s.carryOut(ctx, tx); s.err != nil {
		tx.rows = tx.rows[:logged]
		if _, err := tx.ExecContext(ctx, "ROLLBACK TO SAVEPOINT step"); err != nil {
			return fmt.Errorf("undoing a step: %w", errors.Join(s.err, err))
		}
		return nil
	}
	if _, err := tx.ExecContext(ctx, "RELEASE SAVEPOINT step; SAVEPOINT step"); err != nil {
		return fmt.Errorf("setting a savepoint: %w", err)
	}
	return nil
}
