package state

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// version is that of the tables below. Another one, older or newer, is not
// migrated: what it holds may be forgotten.
const version = 2

// tables are made anew. Times are microseconds since 1970 UTC, keys are hashes
// of fixed length.
const tables = `
DROP TABLE IF EXISTS state_nodes;
CREATE TABLE state_nodes (node TEXT PRIMARY KEY, starts INTEGER NOT NULL) STRICT;
DROP TABLE IF EXISTS state_leases;
CREATE TABLE state_leases (
    key     BLOB PRIMARY KEY,
    node    TEXT NOT NULL,
    start   INTEGER NOT NULL,
    number  INTEGER NOT NULL,
    expires INTEGER NOT NULL
) STRICT;
DROP TABLE IF EXISTS state_done; -- of version 1
DELETE FROM state_version;
`

func (s *Store) prepare(ctx context.Context, tx *sql.Tx) error {
	_, err := tx.ExecContext(ctx, "CREATE TABLE IF NOT EXISTS state_version (version INTEGER NOT NULL) STRICT")
	if err != nil {
		return err
	}
	var found int
	err = tx.QueryRowContext(ctx, "SELECT version FROM state_version").Scan(&found)
	if err == nil && found == version {
		return nil
	}
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("reading the version: %w", err)
	}
	if err == nil {
		s.log.WarnContext(ctx, "state of another version of the program made anew: what it held is asked of the legal log's database again",
			"found", found, "version", version)
	}
	if _, err := tx.ExecContext(ctx, tables); err != nil {
		return fmt.Errorf("making the tables: %w", err)
	}
	_, err = tx.ExecContext(ctx, "INSERT INTO state_version (version) VALUES ($1)", version)
	return err
}
