// Package legallog keeps the legal log of a PEC provider (RFC 6109 section
// 2.3, DM 2-11-2005 art. 11) and, in the same SQL database, the records that
// decide about a message's fate: intents, claims, verdicts and outcomes. One
// database, because a fact and its row of the log are written in one step: a
// crash leaves both or none.
//
// It fills point.Log and point.Records. The SQL is the common part of SQLite
// and PostgreSQL; what differs is in the migrations, one directory per
// database. The columns' text and times go through the same few functions, so
// that both keep the same bytes: text is UTF-8 without NUL (anything else
// becomes U+FFFD), times are whole microseconds in UTC. Facts, recipients and
// outcomes are JSON.
//
// It does not open the database, which its caller hands in and closes; it
// seals and deletes nothing.
package legallog

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"
	"net/url"
	"strings"
	"time"

	"github.com/pressly/goose/v3"

	"github.com/pec-milter/pec-milter/internal/point"
)

//go:embed migrations/sqlite/*.sql
var migrations embed.FS

var (
	_ point.Log     = (*Log)(nil)
	_ point.Records = (*Log)(nil)
)

// Log is the legal log and the records. It is safe for concurrent use. All
// its errors but point.ErrConflict and point.ErrUnknown are temporary. A call
// whose context ends returns at once; what it wrote may then be recorded or
// not, but never in part.
type Log struct {
	db     *sql.DB
	writer *writer
}

// SQLiteDSN is the data source name for a SQLite file: write-ahead log, every
// commit on the disk before it returns, 5 s of patience for a locked file.
func SQLiteDSN(path string) string {
	return "file:" + (&url.URL{Path: path}).EscapedPath() +
		"?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_txlock=immediate"
}

// Open brings a SQLite database, opened with SQLiteDSN, to the present schema.
// It refuses one that a later version has written. The caller closes the Log
// first, then db.
func Open(db *sql.DB) (*Log, error) {
	if err := migrate(context.Background(), db); err != nil {
		return nil, fmt.Errorf("preparing the legal log's database: %w", err)
	}
	return &Log{db: db, writer: startWriter(db)}, nil
}

// Close waits for the writes in hand and refuses all that come later. It does
// not close the database. Closing twice does no harm.
func (l *Log) Close() error {
	l.writer.close()
	return nil
}

func migrate(ctx context.Context, db *sql.DB) error {
	files, err := fs.Sub(migrations, "migrations/sqlite")
	if err != nil {
		return err
	}
	provider, err := goose.NewProvider(goose.DialectSQLite3, db, files,
		goose.WithTableName("legallog_version"), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return err
	}
	if _, err := provider.Up(ctx); err != nil {
		return err
	}
	found, known, err := provider.GetVersions(ctx)
	if err != nil {
		return err
	}
	if found > known {
		return fmt.Errorf("its schema is version %d, this program knows up to %d: use the version that wrote it, or a later one", found, known)
	}
	return nil
}

// micros is how a time is stored: NULL for the zero time, which a column that
// must have one refuses.
func micros(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UnixMicro()
}

// instant is the time that micros stored.
func instant(stored sql.Null[int64]) time.Time {
	if !stored.Valid {
		return time.Time{}
	}
	return time.UnixMicro(stored.V).UTC()
}

// text is how text is stored: verbatim, but for bytes that are no text in
// every database and in JSON.
func text(s string) string {
	return strings.ToValidUTF8(strings.ReplaceAll(s, "\x00", "\uFFFD"), "\uFFFD")
}
