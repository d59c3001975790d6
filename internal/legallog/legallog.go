// Package legallog keeps the legal log of a PEC provider (RFC 6109 section
// 2.3, DM 2-11-2005 art. 11) and, in the same SQL database, the records that
// decide about a message's fate: intents, claims, verdicts and outcomes. One
// database, because a fact and its row of the log are written in one step: a
// crash leaves both or none.
//
// It fills point.Log and point.Records, on SQLite for one node and on PostgreSQL
// for several. The SQL is the common part of both; what differs is in dialect.go
// and in the migrations, one directory per database. The columns' text and times
// go through the same few functions, so that both keep the same bytes: text is
// UTF-8 without NUL (anything else becomes U+FFFD), times are whole microseconds
// in UTC. Facts, recipients and outcomes are JSON.
//
// One transaction writes at a time, whatever the number of nodes: SQLite knows no
// other way, and on PostgreSQL each waits for its turn (a table lock). So all
// steps are serial without any being undone for the sake of another, and the
// rows of the log are numbered in the order of their commits: who reads on after
// the last row that he has seen misses none.
//
// Each row is chained by its hash to the one before of its node, so that who has
// seen a later hash can tell whether anything before was changed
// (docs/legallog.md).
//
// It does not open the database, which its caller hands in and closes.
package legallog

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"github.com/pec-milter/pec-milter/internal/point"
)

var (
	_ point.Log     = (*Log)(nil)
	_ point.Records = (*Log)(nil)
)

// defaultTimeout is for a database that does not answer.
const defaultTimeout = 30 * time.Second

// Log is the legal log and the records. It is safe for concurrent use. All
// its errors but point.ErrConflict and point.ErrUnknown are temporary. A call
// whose context ends returns at once; what it wrote may then be recorded or
// not, but never in part. So it is after an error too, if the connection was
// lost in the middle of a commit. To write it again does no harm: an intent
// gives point.ErrConflict, a row of the log by itself stands there twice, and
// all else is as if it had been written once.
type Log struct {
	db     *sql.DB
	node   string
	writer *writer
	// partitions: the log has one for each month.
	partitions bool
	timeout    time.Duration // of one query
}

// Open brings a SQLite database, opened with SQLiteDSN, to the present schema,
// for the node of that name. It refuses a database that a later version has
// written. The caller closes the Log first, then db.
func Open(db *sql.DB, node string) (*Log, error) {
	d := sqliteDialect()
	if err := d.migrate(context.Background(), db); err != nil {
		return nil, fmt.Errorf("preparing the legal log's database: %w", err)
	}
	return start(db, node, d), nil
}

// OpenPostgreSQL opens a PostgreSQL database that MigratePostgreSQL has prepared,
// for the node of that name; its connections have PostgreSQLSettings. It refuses
// a database that may lose what it has committed, and a role that may change
// what is in the log. Several nodes may open it at once.
func OpenPostgreSQL(db *sql.DB, node string) (*Log, error) {
	d, err := postgreSQLDialect()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), defaultTimeout)
	defer cancel()
	err = d.check(ctx, db)
	if err == nil {
		err = d.checkVersion(ctx, db)
	}
	if err == nil {
		err = checkRole(ctx, db)
	}
	if err != nil {
		return nil, fmt.Errorf("the legal log's database: %w", err)
	}
	return start(db, node, d), nil
}

func start(db *sql.DB, node string, d dialect) *Log {
	return &Log{db: db, node: node, partitions: d.partitions, timeout: defaultTimeout, writer: startWriter(db, node, d)}
}

// Close waits for the writes in hand and refuses all that come later. It does
// not close the database. Closing twice does no harm.
func (l *Log) Close() error {
	l.writer.close()
	return nil
}

// bound is the context of a query: none waits for ever.
func (l *Log) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, l.timeout)
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
