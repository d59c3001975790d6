package legallog

import (
	"database/sql"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"strings"
	"testing"
)

func TestVersionSQLite(t *testing.T) {
	log := openFile(t, filepath.Join(t.TempDir(), "log.db"))
	testVersion(t, log, log.db, sqliteDialect().migrations, Open)
}

func TestVersionPostgreSQL(t *testing.T) {
	d, err := postgreSQLDialect()
	if err != nil {
		t.Fatal(err)
	}
	dsn := newDSN(t)
	testVersion(t, openPostgreSQL(t, dsn), connect(t, ownerDSN(dsn)), d.migrations, OpenPostgreSQL)
}

// testVersion is FP-45: the version of the schema is recorded in the database, and
// a version that this program does not know is refused, with what to do; what the
// later version has written stays as it is, and this one opens it no more. owner
// is the database as who migrates it.
func testVersion(t *testing.T, log *Log, owner *sql.DB, directory string, open func(*sql.DB, string) (*Log, error)) {
	files, err := fs.Glob(migrations, path.Join(directory, "*.sql"))
	if err != nil || len(files) == 0 {
		t.Fatalf("migrations: got %v, %v, want some", files, err)
	}
	mustAppend(t, log, sampleEvent("before"))
	if found := recordedVersion(t, log); found != len(files) {
		t.Errorf("recorded version: got %d, want that of the last migration, %d", found, len(files))
	}
	again, err := open(log.db, "one")
	if err != nil {
		t.Fatalf("Open of a database of the present version: %v", err)
	}
	again.Close()
	mustExec(t, owner, "INSERT INTO legallog_version (version_id, is_applied) VALUES (99, true)")
	later, err := open(log.db, "one")
	for _, want := range []string{"version 99", fmt.Sprintf("knows up to %d", len(files)), "use the version that wrote it, or a later one"} {
		if later != nil || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Open of a database of version 99: got %v, want an error with %q", err, want)
		}
	}
	if found := recordedVersion(t, log); found != 99 {
		t.Errorf("recorded version after that: got %d, want 99", found)
	}
	if rows := readAll(t, log, Filter{}); len(rows) != 1 {
		t.Errorf("after that the log has %d rows, want 1", len(rows))
	}
}

func recordedVersion(t *testing.T, log *Log) (version int) {
	t.Helper()
	if err := log.db.QueryRow("SELECT max(version_id) FROM legallog_version WHERE is_applied").Scan(&version); err != nil {
		t.Fatal(err)
	}
	return version
}
