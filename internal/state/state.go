// Package state says who works on which message just now: point.State on an embedded
// SQLite database, for one node, and on Redis, for several.
//
// Nothing in it is authority: the legal log's database is. It may be lost.
package state

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pec-milter/pec-milter/internal/point"
)

var _ point.State = (*Store)(nil)

// Store is the state on SQLite as one process sees it. It is safe for concurrent use.
// All its errors are temporary. It starts nothing and needs no closing; its
// caller closes the database.
type Store struct {
	db     *sql.DB
	node   string
	start  int64 // of the node: tells its processes apart
	now    func() time.Time
	log    *slog.Logger
	leases atomic.Int64 // taken by this process: tells its leases apart

	lease, free *sql.Stmt
}

// SQLiteDSN is the data source name for a SQLite file of the state's own: in
// the legal log's file its many small writes would wait for the log's commits,
// and each for the disk. A power failure may cost it the last of them, which
// Store's users allow for. One connection is best: SetMaxOpenConns(1).
func SQLiteDSN(path string) string {
	return "file:" + (&url.URL{Path: path}).EscapedPath() +
		"?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=synchronous(NORMAL)&_txlock=immediate"
}

// Open makes the tables if there are none, and starts the node's next process:
// leases that the node's processes held before are free at once, for a node
// runs one process at a time and that one is dead. (Should it be alive all the
// same, the records in SQL hold it up.) Leases of other nodes run out by their
// time. What could not be said to a caller goes to log.
func Open(db *sql.DB, node string, now func() time.Time, log *slog.Logger) (*Store, error) {
	s := &Store{db: db, node: node, now: now, log: log}
	err := s.begin(context.Background())
	if err == nil {
		err = s.compile(context.Background())
	}
	if err != nil {
		return nil, fmt.Errorf("preparing the state of node %s: %w", node, err)
	}
	return s, nil
}

// compile has the database read its statements once: to read one costs as much as
// to carry it out.
func (s *Store) compile(ctx context.Context) (err error) {
	for _, c := range []struct {
		statement **sql.Stmt
		text      string
	}{
		{&s.lease, `INSERT INTO state_leases (key, node, start, number, expires)
			VALUES ($1, $2, $3, $4, $5) ON CONFLICT (key) DO UPDATE SET
			node = excluded.node, start = excluded.start, number = excluded.number, expires = excluded.expires
			WHERE state_leases.expires <= $6`},
		{&s.free, "DELETE FROM state_leases WHERE key = $1 AND node = $2 AND start = $3 AND number = $4"},
	} {
		if *c.statement, err = s.db.PrepareContext(ctx, c.text); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) begin(ctx context.Context) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() // after Commit it does nothing, before it the error is told already
	if err := s.prepare(ctx, tx); err != nil {
		return err
	}
	err = tx.QueryRowContext(ctx, `INSERT INTO state_nodes (node, starts) VALUES ($1, 1)
		ON CONFLICT (node) DO UPDATE SET starts = state_nodes.starts + 1 RETURNING starts`, s.node).Scan(&s.start)
	if err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, "DELETE FROM state_leases WHERE node = $1 OR expires <= $2",
		s.node, s.now().UnixMicro()); err != nil {
		return err
	}
	return tx.Commit()
}

// Lease takes key for at most ttl, until the returned function is called; ok
// is false while somebody else, in this process too, holds it. After ttl
// anybody may take it; the function then frees nothing. It may be called more
// than once.
func (s *Store) Lease(ctx context.Context, key point.Key, ttl time.Duration) (release func(), ok bool, err error) {
	if ttl <= 0 {
		return nil, false, fmt.Errorf("lease of %x for %v: must be for longer than 0", key, ttl)
	}
	now, number := s.now(), s.leases.Add(1)
	result, err := s.lease.ExecContext(ctx, key[:], s.node, s.start, number, now.Add(ttl).UnixMicro(), now.UnixMicro())
	if err != nil {
		return nil, false, fmt.Errorf("taking the lease of %x: %w", key, err)
	}
	taken, err := result.RowsAffected()
	if err != nil || taken == 0 {
		return nil, false, err
	}
	ctx = context.WithoutCancel(ctx)
	return sync.OnceFunc(func() { s.release(ctx, key, number) }), true, nil
}

// release frees key if this very lease still holds it. If it cannot, the lease
// runs out by its time.
func (s *Store) release(ctx context.Context, key point.Key, number int64) {
	_, err := s.free.ExecContext(ctx, key[:], s.node, s.start, number)
	if err != nil {
		s.log.WarnContext(ctx, "lease not released, it runs out by its time", "key", fmt.Sprintf("%x", key), "error", err)
	}
}
