package legallog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"
)

// MigratePostgreSQL brings a PostgreSQL database to the present schema and lets
// the daemon's role use it. db is connected as the owner of the tables, who is
// not the daemon: of the legal log the daemon may read and append rows, and no
// more.
func MigratePostgreSQL(db *sql.DB, daemon string) error {
	d, err := postgreSQLDialect()
	if err == nil {
		err = d.migrate(context.Background(), db)
	}
	if err != nil {
		return fmt.Errorf("preparing the legal log's database: %w", err)
	}
	return grant(context.Background(), db, daemon)
}

// grant gives a role its rights and takes all others. Whoever does so at the same
// time waits.
func grant(ctx context.Context, db *sql.DB, role string) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("letting role %s use the tables: %w", role, err)
	}
	defer tx.Rollback() // after Commit it does nothing
	var schema string
	err = tx.QueryRowContext(ctx, "SELECT quote_ident(current_schema())").Scan(&schema)
	for _, statement := range []string{
		"LOCK TABLE turn IN EXCLUSIVE MODE",
		"REVOKE ALL ON ALL TABLES IN SCHEMA $schema FROM $role",
		"GRANT USAGE ON SCHEMA $schema TO $role",
		"GRANT SELECT ON ALL TABLES IN SCHEMA $schema TO $role",
		"GRANT INSERT ON events, search, outcomes TO $role",
		"GRANT INSERT, UPDATE ON intents, claims, verdicts, waits TO $role",
		"GRANT UPDATE ON turn TO $role", // to lock it
		"GRANT EXECUTE ON FUNCTION events_month(BIGINT) TO $role",
	} {
		if err == nil {
			_, err = tx.ExecContext(ctx, strings.NewReplacer("$schema", schema, "$role", quoted(role)).Replace(statement))
		}
	}
	if err == nil {
		err = tx.Commit()
	}
	if err != nil {
		return fmt.Errorf("letting role %s use the tables: %w", role, err)
	}
	return nil
}

// quoted is a name as SQL has it.
func quoted(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// checkVersion refuses a database that is not of the present schema.
func (d dialect) checkVersion(ctx context.Context, db *sql.DB) error {
	provider, err := d.provider(db)
	if err != nil {
		return err
	}
	sources := provider.ListSources()
	known := sources[len(sources)-1].Version
	var found sql.Null[int64] // NULL: there is no such table
	err = db.QueryRowContext(ctx, "SELECT CASE WHEN to_regclass($1) IS NOT NULL THEN 1 END", versions).Scan(&found)
	if err == nil && found.Valid {
		err = db.QueryRowContext(ctx, "SELECT max(version_id) FROM "+versions+" WHERE is_applied").Scan(&found)
	}
	switch {
	case err != nil:
		return err
	case found.V > known:
		return laterSchema(found.V, known)
	case found.V < known:
		return fmt.Errorf("its schema is version %d, this program needs %d: run pec-milter database migrate", found.V, known)
	}
	return nil
}

// errMayChange: who may change rows may change what they prove.
var errMayChange = errors.New("the role may change or delete rows of the legal log: " +
	"use a role that does not own the tables (contrib/postgresql)")

func checkRole(ctx context.Context, db *sql.DB) error {
	var may bool
	err := db.QueryRowContext(ctx, `SELECT bool_or(has_table_privilege('events', privilege))
		FROM unnest(ARRAY['UPDATE', 'DELETE', 'TRUNCATE', 'TRIGGER']) AS privilege`).Scan(&may)
	if err == nil && may {
		err = errMayChange
	}
	return err
}

// MakePartitions makes the monthly partitions for this month and the next two,
// where they are missing; on SQLite there are none. A row without a partition of
// its own goes into the one for all others: none is ever refused. It tells
// whether all months have theirs: one that has rows in the other one already
// cannot get it any more.
func (l *Log) MakePartitions(ctx context.Context, now time.Time) (bool, error) {
	if !l.partitions {
		return true, nil
	}
	all := true
	err := l.writer.do(ctx, func(ctx context.Context, tx *transaction) error {
		all = true
		for n := range 3 {
			month := time.Date(now.UTC().Year(), now.UTC().Month()+time.Month(n), 1, 0, 0, 0, 0, time.UTC)
			there, err := tx.makePartition(ctx, month)
			if err != nil {
				return err
			}
			all = all && there
		}
		return nil
	})
	if err != nil {
		return false, fmt.Errorf("making partitions of the legal log: %w", err)
	}
	return all, nil
}

// makePartition makes the partition of the month that begins at a time, and tells
// whether it is there.
func (tx *transaction) makePartition(ctx context.Context, month time.Time) (there bool, err error) {
	err = tx.QueryRowContext(ctx, "SELECT events_month($1)", month.UnixMicro()).Scan(&there)
	return there, err
}
