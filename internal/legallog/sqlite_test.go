package legallog

import (
	"context"
	"database/sql"
	"path/filepath"
	"strings"
	"testing"
	"time"

	_ "modernc.org/sqlite"

	"github.com/pec-milter/pec-milter/internal/point"
)

func TestConformanceSQLite(t *testing.T) { testConformance(t, openNodesSQLite) }

func TestNodesSQLite(t *testing.T) { testNodes(t, openNodesSQLite) }

func openNodesSQLite(t *testing.T, nodes int) []*Log {
	// Under the race detector one commit takes longer than a daemon would wait for
	// its turn, which SQLite gives to whoever asks when it is free.
	dsn := strings.Replace(SQLiteDSN(filepath.Join(t.TempDir(), "log.db")), "busy_timeout(5000)", "busy_timeout(60000)", 1)
	logs := make([]*Log, nodes)
	for i := range logs {
		logs[i] = openDSN(t, dsn)
		logs[i].writer.timeout = 2 * time.Minute
	}
	return logs
}

// openFile opens a log as cmd does, and closes it with the test.
func openFile(t testing.TB, path string) *Log {
	t.Helper()
	return openDSN(t, SQLiteDSN(path))
}

func openDSN(t testing.TB, dsn string) *Log {
	t.Helper()
	log, err := Open(openDatabase(t, dsn), "one")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { log.Close() })
	return log
}

func openDatabase(t testing.TB, dsn string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func TestSQLiteDSN(t *testing.T) {
	for _, name := range []string{"log.db", "a b?c#d%41&e.db"} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), name)
			db := openDatabase(t, SQLiteDSN(path))
			for pragma, want := range map[string]string{
				"journal_mode": "wal", "synchronous": "2", "busy_timeout": "5000",
			} {
				var got string
				if err := db.QueryRow("PRAGMA " + pragma).Scan(&got); err != nil || got != want {
					t.Errorf("PRAGMA %s = %s, %v, want %s", pragma, got, err, want)
				}
			}
			if found, _ := filepath.Glob(filepath.Join(filepath.Dir(path), "*.db")); len(found) != 1 || found[0] != path {
				t.Errorf("the database is in %q, want %q", found, path)
			}
		})
	}
}

func TestReopenKeepsAll(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log.db")
	log := openFile(t, path)
	mustAppend(t, log, sampleEvent("first"))
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	again := openFile(t, path)
	mustAppend(t, again, sampleEvent("second"))
	rows := readAll(t, again, Filter{})
	if len(rows) != 2 || rows[0].ID != "first" || rows[1].ID != "second" {
		t.Errorf("after opening again the log has %+v, want first and second", rows)
	}
}

func TestOpenClosedDatabase(t *testing.T) {
	db := openDatabase(t, SQLiteDSN(filepath.Join(t.TempDir(), "log.db")))
	db.Close()
	if log, err := Open(db, "one"); err == nil || log != nil {
		t.Errorf("Open of a closed database = %v, %v, want an error alone", log, err)
	}
}

// SQLite's own statement deletes without asking a trigger on DELETE.
func TestAppendOnlyReplace(t *testing.T) {
	log := openFile(t, filepath.Join(t.TempDir(), "log.db"))
	mustAppend(t, log, sampleEvent("one"))
	wantAppendOnly(t, log, "INSERT OR REPLACE INTO events SELECT * FROM events WHERE seq = 1")
}

// The searches by id and by notice must not read the whole log.
func TestQueriesUseIndexes(t *testing.T) {
	log := openFile(t, filepath.Join(t.TempDir(), "log.db"))
	tests := map[string]string{
		"SELECT 1 FROM events WHERE notice_id = $1 AND kind = $2 AND notice_id <> ''":                                                            "events_notice",
		"SELECT 1 FROM events WHERE id = $1 AND id <> '' AND kind IN ($2) AND (notice IN ('a') OR notice = 'b' AND error_detail LIKE '5.4.1 %')": "events_id",
		"SELECT seq FROM events WHERE seq > $1 AND id = $2 AND id <> '' ORDER BY seq LIMIT 500":                                                  "events_id",
		"SELECT id FROM intents WHERE sent_at IS NOT NULL AND committed_at IS NULL ORDER BY sent_at":                                             "intents_unfinished",
		"SELECT id FROM intents WHERE key = $1 ORDER BY generation DESC LIMIT 1":                                                                 "sqlite_autoindex_intents",
		"SELECT own FROM verdicts WHERE digest = $1 AND certificate = $2":                                                                        "sqlite_autoindex_verdicts",
		"SELECT 1 FROM intents AS later WHERE later.key = $1 AND later.generation > $2":                                                          "sqlite_autoindex_intents",
		"SELECT seq FROM events WHERE seq > $1 ORDER BY seq LIMIT 500":                                                                           "INTEGER PRIMARY KEY",
		placesQuery: "SEARCH search USING PRIMARY KEY (term=? AND (time,seq)>(?,?) AND time<?)",
		"SELECT seq FROM events WHERE id <> '' AND id IN ($1, $2) ORDER BY seq":                                                    "events_id",
		"SELECT seq FROM events WHERE time >= 1 AND time <= 2 AND seq IN ($1, $2)":                                                 "INTEGER PRIMARY KEY",
		"SELECT 1 FROM events WHERE id = $1 AND id <> '' AND kind IN ($2, $3) AND queue_id = $4 AND delivered = 'a'":               "events_id",
		"SELECT 1 FROM events WHERE notice_id = $1 AND notice_id <> '' AND kind IN ($2, $3) AND queue_id = $4 AND delivered = 'a'": "events_notice",
		"SELECT outcome FROM outcomes WHERE key = $1":                                                                              "sqlite_autoindex_outcomes",
		"SELECT id FROM intents WHERE id = $1":                                                                                     "sqlite_autoindex_intents",
	}
	for query, want := range tests {
		var id, parent, unused int
		var plan string
		err := log.db.QueryRow("EXPLAIN QUERY PLAN "+query, 1, 1, 1, 1).Scan(&id, &parent, &unused, &plan)
		if err != nil || !strings.Contains(plan, want) || strings.HasPrefix(plan, "SCAN") && want != "intents_unfinished" {
			t.Errorf("%s: plan %q, %v, want %s", query, plan, err, want)
		}
	}
}

func mustExec(t testing.TB, db *sql.DB, statement string) {
	t.Helper()
	if _, err := db.Exec(statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

func mustAppend(t testing.TB, log *Log, events ...point.Event) {
	t.Helper()
	if err := log.Append(context.Background(), events...); err != nil {
		t.Fatal(err)
	}
}
