package legallog

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"
	"net/url"
	"slices"
	"time"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

//go:embed migrations/sqlite/*.sql migrations/postgresql/*.sql
var migrations embed.FS

// dialect is what differs between the databases, beside the migrations.
type dialect struct {
	name       goose.Dialect
	migrations string // their directory
	// turn is the first statement of a transaction that writes, with its
	// semicolon: it waits until all others have ended. Empty: the database does
	// that by itself.
	turn string
	// index writes what is in a parameter, of the number for %d, into the table
	// search: see indexed.
	index string
	// oneStatement: that can be one statement with the rows of the log.
	oneStatement bool
	// settings are those that the database must have.
	settings []setting
	// rows is how many rows of the log one statement inserts at most: many where
	// each costs a round trip. SQLite has none, and looks each value of a
	// statement up among all of them.
	rows int
	// statements: its driver reads the text of a statement each time, unless the
	// statement is kept.
	statements bool
	// partitions: the log has one for each month.
	partitions bool
	// locker lets one node at a time migrate; nil: there is one node.
	locker lock.SessionLocker
}

// setting is a setting of the database and its good values.
type setting struct {
	name string
	good []string
	harm string // what another value does
}

// SQLiteDSN is the data source name for a SQLite file: write-ahead log, every
// commit on the disk before it returns, 5 s of patience for a locked file.
func SQLiteDSN(path string) string {
	return "file:" + (&url.URL{Path: path}).EscapedPath() +
		"?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_txlock=immediate"
}

func sqliteDialect() dialect {
	return dialect{
		name: goose.DialectSQLite3, migrations: "migrations/sqlite", rows: 1, statements: true,
		index: `INSERT INTO search (term, time, seq)
			SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]') FROM json_each($%d)`,
	}
}

// PostgreSQLSettings are the settings (run-time parameters) that each connection
// to PostgreSQL begins with: every commit on the disk before it returns, and no
// statement without an end. A node that stops in the middle of a transaction
// loses it after 5 s: until then the others wait for their turn.
func PostgreSQLSettings() map[string]string {
	return map[string]string{
		"synchronous_commit":                  "on",
		"idle_in_transaction_session_timeout": "5s",
		"lock_timeout":                        "15s",
		"statement_timeout":                   "25s", // under defaultTimeout: the server's error says more
	}
}

func postgreSQLDialect() (dialect, error) {
	const lost = "what is committed could be lost"
	// The second node looks every second, for a minute.
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 60))
	return dialect{
		name: goose.DialectPostgres, migrations: "migrations/postgresql", locker: locker, rows: 200, partitions: true,
		turn: "LOCK TABLE turn IN EXCLUSIVE MODE; ",
		index: `INSERT INTO search (term, time, seq)
			SELECT (value->>0)::bigint, (value->>1)::bigint, (value->>2)::bigint FROM json_array_elements($%d::json) AS list (value)`,
		oneStatement: true,
		settings: []setting{
			{"fsync", []string{"on"}, lost},
			{"full_page_writes", []string{"on"}, lost},
			{"synchronous_commit", []string{"on", "remote_apply"}, lost},
			{"server_encoding", []string{"UTF8"}, "not every text could be kept"},
		},
	}, err
}

// check refuses a database that may lose or change what is written.
func (d dialect) check(ctx context.Context, db *sql.DB) error {
	for _, s := range d.settings {
		var value string
		if err := db.QueryRowContext(ctx, "SELECT current_setting($1)", s.name).Scan(&value); err != nil {
			return err
		}
		if !slices.Contains(s.good, value) {
			return fmt.Errorf("the database has %s = %s, and with that %s: it must be %s", s.name, value, s.harm, s.good[0])
		}
	}
	return nil
}

// migrateTimeout is for migrations of a large database, and for the node that
// waits for another one's.
const migrateTimeout = 15 * time.Minute

func (d dialect) migrate(ctx context.Context, db *sql.DB) error {
	ctx, cancel := context.WithTimeout(ctx, migrateTimeout)
	defer cancel()
	provider, err := d.provider(db)
	if err != nil {
		return err
	}
	if _, err := provider.Up(ctx); err != nil {
		return err
	}
	found, known, err := provider.GetVersions(ctx)
	if err == nil && found > known {
		err = laterSchema(found, known)
	}
	return err
}

func (d dialect) provider(db *sql.DB) (*goose.Provider, error) {
	files, err := fs.Sub(migrations, d.migrations)
	if err != nil {
		return nil, err
	}
	options := []goose.ProviderOption{goose.WithTableName(versions), goose.WithDisableGlobalRegistry(true)}
	if d.locker != nil {
		options = append(options, goose.WithSessionLocker(d.locker))
	}
	return goose.NewProvider(d.name, db, files, options...)
}

// versions is the table of the migrations that were done.
const versions = "legallog_version"

func laterSchema(found, known int64) error {
	return fmt.Errorf("its schema is version %d, this program knows up to %d: use the version that wrote it, or a later one", found, known)
}
