package state

import (
	"bufio"
	"bytes"
	"database/sql"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	_ "modernc.org/sqlite"

	"github.com/pec-milter/pec-milter/internal/point"
)

func TestConformanceSQLite(t *testing.T) {
	testConformance(t, func(t *testing.T) *cluster {
		path := filepath.Join(t.TempDir(), "state.db")
		now := time.Date(2026, 10, 25, 0, 30, 0, 0, time.UTC)
		return &cluster{
			node: func(name string) point.State {
				return mustOpen(t, openDatabase(t, path), name, func() time.Time { return now })
			},
			pass: func(d time.Duration) { now = now.Add(d) },
			tick: time.Microsecond,
		}
	})
}

func openDatabase(t testing.TB, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", SQLiteDSN(path))
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	t.Cleanup(func() { db.Close() })
	return db
}

func mustOpen(t testing.TB, db *sql.DB, node string, now func() time.Time) *Store {
	t.Helper()
	s, err := Open(db, node, now, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestOtherSchemaIsMadeAnew is FP-45: the version is recorded, and a state of
// another one is made anew, with a line in the log.
func TestOtherSchemaIsMadeAnew(t *testing.T) {
	db := openDatabase(t, filepath.Join(t.TempDir(), "state.db"))
	mustLease(t, mustOpen(t, db, "b", time.Now), time.Minute)
	wantHeld(t, mustOpen(t, db, "a", time.Now), "by another node")
	if _, err := db.Exec("UPDATE state_version SET version = 99; ALTER TABLE state_leases RENAME COLUMN expires TO later"); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	s, err := Open(db, "a", time.Now, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	mustLease(t, s, time.Minute)
	for _, want := range []string{"made anew", "found=99", fmt.Sprint("version=", version)} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("log has %q, want %q", log.String(), want)
		}
	}
	var recorded int
	if err := db.QueryRow("SELECT version FROM state_version").Scan(&recorded); err != nil || recorded != version {
		t.Errorf("recorded version: got %d, %v, want %d", recorded, err, version)
	}
	log.Reset()
	if _, err := Open(db, "a", time.Now, slog.New(slog.NewTextHandler(&log, nil))); err != nil || log.Len() > 0 {
		t.Errorf("opened again: %v, log has %q, want nothing", err, log.String())
	}
}

func TestClosedDatabase(t *testing.T) {
	db := openDatabase(t, filepath.Join(t.TempDir(), "state.db"))
	var log bytes.Buffer
	s, err := Open(db, "a", time.Now, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	release := mustLease(t, s, time.Minute)
	db.Close()
	if _, ok, err := s.Lease(ctx, point.Key{8}, time.Minute); ok || err == nil {
		t.Errorf("Lease on a closed database: %v, %v, want an error", ok, err)
	}
	release()
	if !strings.Contains(log.String(), "lease not released") {
		t.Errorf("log has %q, want the lease that was not released", log.String())
	}
	if s, err := Open(db, "a", time.Now, slog.New(slog.DiscardHandler)); s != nil || err == nil {
		t.Errorf("Open of a closed database = %v, %v, want an error alone", s, err)
	}
}

// TestCrash kills a node's process in the middle of its work: what it held others
// still see held, and its leases do not hold its successor up.
func TestCrash(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	child := exec.Command(os.Args[0], "-test.run=^TestCrashChild$")
	child.Env = append(os.Environ(), "STATE_CRASH_PATH="+path)
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	n := 0
	for lines := bufio.NewScanner(out); lines.Scan(); n++ {
		if lines.Text() != fmt.Sprint(n) {
			t.Fatalf("child said %q, want %d", lines.Text(), n)
		}
		if n == 200 {
			child.Process.Kill()
		}
	}
	if err := child.Wait(); err == nil {
		t.Fatal("the child ended by itself")
	}
	other := mustOpen(t, openDatabase(t, path), "b", time.Now)
	wantHeld(t, other, "after the crash, for another node")
	again := mustOpen(t, openDatabase(t, path), "a", time.Now)
	mustLease(t, again, time.Minute)
}

// TestCrashChild is the process that TestCrash kills.
func TestCrashChild(t *testing.T) {
	path := os.Getenv("STATE_CRASH_PATH")
	if path == "" {
		t.Skip("runs as a child of TestCrash")
	}
	s := mustOpen(t, openDatabase(t, path), "a", time.Now)
	mustLease(t, s, time.Hour)
	for i := 0; ; i++ {
		if _, ok, err := s.Lease(ctx, crashKey(i), time.Hour); !ok || err != nil {
			t.Fatal(ok, err)
		}
		fmt.Println(i)
	}
}

func crashKey(i int) point.Key { return point.Key{1, byte(i), byte(i >> 8), byte(i >> 16)} }
