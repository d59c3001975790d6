package doctor

import (
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	_ "modernc.org/sqlite"
)

func TestSQLite(t *testing.T) {
	cases := []struct {
		name, mode string
		result     Result
		text       string
	}{
		{"as the daemon makes it", "wal", Good, "can be written"},
		{"another journal", "delete", Bad, "journal_mode delete"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "pec.db")
			db := openSQLite(t, path)
			execute(t, db, "PRAGMA journal_mode="+c.mode)
			execute(t, db, "CREATE TABLE t (n INTEGER)")
			want(t, SQLite(t.Context(), "x", path, opener(path)), c.result, c.text)
		})
	}
}

func TestSQLiteThatCannotBeUsed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pec.db")
	want(t, SQLite(t.Context(), "x", path, opener(path)), NotChecked, "first start")
	if _, err := os.Stat(path); err == nil {
		t.Error("it made the database")
	}
	if err := os.WriteFile(path, []byte(strings.Repeat("no database ", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	want(t, SQLite(t.Context(), "x", path, opener(path)), Bad, "not a database")
	broken := func() (*sql.DB, error) { return nil, errors.New("no driver") }
	want(t, SQLite(t.Context(), "x", path, broken), Bad, "no driver")
}

// TestSQLiteThatSomebodyHolds: a writer who never ends is what stops the daemon.
func TestSQLiteThatSomebodyHolds(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pec.db")
	db := openSQLite(t, path)
	execute(t, db, "PRAGMA journal_mode=wal")
	execute(t, db, "BEGIN IMMEDIATE")
	want(t, SQLite(t.Context(), "x", path, opener(path)), Bad, "lock")
	execute(t, db, "ROLLBACK")
	want(t, SQLite(t.Context(), "x", path, opener(path)), Good, "can be written")
}

func opener(path string) func() (*sql.DB, error) {
	return func() (*sql.DB, error) { return sql.Open("sqlite", "file:"+path) }
}

func openSQLite(t *testing.T, path string) *sql.DB {
	t.Helper()
	db, err := opener(path)()
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	t.Cleanup(func() { db.Close() })
	return db
}

func execute(t *testing.T, db *sql.DB, statement string) {
	t.Helper()
	if _, err := db.Exec(statement); err != nil {
		t.Fatal(err)
	}
}
