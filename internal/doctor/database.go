package doctor

import (
	"context"
	"database/sql"
	"fmt"
	"os"
)

// SQLite tells whether an SQLite file can be read and written, beside a daemon
// that runs, and keeps its write-ahead log. open opens it; a file that is not
// there is not made.
func SQLite(ctx context.Context, check, path string, open func() (*sql.DB, error)) Finding {
	if _, err := os.Stat(path); err != nil {
		return notChecked(check, "%v: the daemon makes it at its first start", err)
	}
	db, err := open()
	if err != nil {
		return bad(check, "see docs/operations.md: the database is lost", "%s: %v", path, err)
	}
	defer db.Close()
	mode, err := tryWriting(ctx, db)
	switch {
	case err != nil:
		return bad(check, fmt.Sprintf("sqlite3 %s 'PRAGMA integrity_check', and restore the last backup if it finds something", path),
			"%s: %v", path, err)
	case mode != "wal":
		return bad(check, fmt.Sprintf("stop the daemon, then sqlite3 %s 'PRAGMA journal_mode=WAL'", path),
			"%s has journal_mode %s, not wal: the file system must be a local one", path, mode)
	}
	return good(check, "%s can be written, journal_mode wal", path)
}

// tryWriting takes the lock of writers and gives it back.
func tryWriting(ctx context.Context, db *sql.DB) (mode string, err error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	var tables int
	for _, step := range []struct {
		query string
		into  any
	}{{"PRAGMA journal_mode", &mode}, {"SELECT count(*) FROM sqlite_master", &tables}} {
		if err := conn.QueryRowContext(ctx, step.query).Scan(step.into); err != nil {
			return "", err
		}
	}
	if _, err := conn.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil {
		return "", fmt.Errorf("taking the lock of writers: %w", err)
	}
	_, err = conn.ExecContext(ctx, "ROLLBACK")
	return mode, err
}
