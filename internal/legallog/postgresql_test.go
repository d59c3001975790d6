package legallog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"

	"github.com/pec-milter/pec-milter/internal/point"
	"github.com/pec-milter/pec-milter/internal/testpostgres"
)

// server is one PostgreSQL for all tests, started by the first that wants it;
// each test has a schema of its own in it.
var server struct {
	sync.Once
	*testpostgres.Server
	err     error
	schemas atomic.Int32
}

func TestMain(m *testing.M) {
	code := m.Run()
	if server.Server != nil {
		if err := server.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// startServer skips aloud where there is no PostgreSQL; where CI is set, it must
// be there.
func startServer(t testing.TB) {
	t.Helper()
	if !testpostgres.Installed() {
		const why = "SKIPPED, NOT TESTED: no PostgreSQL on this machine: apt-get install postgresql-15"
		if os.Getenv("CI") != "" {
			t.Fatal(why)
		}
		t.Skip(why)
	}
	server.Do(func() { server.Server, server.err = testpostgres.Start() })
	if server.err != nil {
		t.Fatal(server.err)
	}
}

// newDSN makes a schema with the tables and gives the data source name for it, of
// the daemon's role, with the settings that cmd gives each connection.
func newDSN(t testing.TB) string {
	t.Helper()
	dsn := bareDSN(newSchema(t))
	if err := MigratePostgreSQL(connect(t, ownerDSN(dsn)), testpostgres.Role); err != nil {
		t.Fatal(err)
	}
	for _, name := range slices.Sorted(maps.Keys(PostgreSQLSettings())) {
		dsn += fmt.Sprintf(" %s=%s", name, PostgreSQLSettings()[name])
	}
	return dsn
}

// newSchema makes an empty schema of the owner's.
func newSchema(t testing.TB) string {
	t.Helper()
	startServer(t)
	schema := fmt.Sprint("test", server.schemas.Add(1))
	sqlAsAdministrator(t, fmt.Sprintf("CREATE SCHEMA %s AUTHORIZATION %q;", schema, testpostgres.Owner))
	return schema
}

// ownerDSN is a data source name of the daemon's role for the owner.
func ownerDSN(dsn string) string {
	return strings.Replace(dsn, "user="+testpostgres.Role, "user="+testpostgres.Owner, 1)
}

func bareDSN(schema string) string {
	return fmt.Sprintf("host=%s port=%d user=%s dbname=%[3]s search_path=%s connect_timeout=5",
		server.Directory, server.Port, testpostgres.Role, schema)
}

func sqlAsAdministrator(t testing.TB, statements string) {
	t.Helper()
	if err := server.SQL("\\connect " + testpostgres.Role + "\n" + statements); err != nil {
		t.Fatal(err)
	}
}

// openPostgreSQL opens a log as cmd does, and closes it with the test.
func openPostgreSQL(t testing.TB, dsn string) *Log {
	t.Helper()
	log, err := OpenPostgreSQL(connect(t, dsn), "one")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { log.Close() })
	return log
}

func connect(t testing.TB, dsn string) *sql.DB {
	t.Helper()
	db, err := sql.Open("pgx", dsn)
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(10)
	t.Cleanup(func() { db.Close() })
	return db
}

func openNodesPostgreSQL(t *testing.T, nodes int) []*Log {
	dsn := newDSN(t)
	logs := make([]*Log, nodes)
	for i := range logs {
		logs[i] = openPostgreSQL(t, dsn)
	}
	return logs
}

func TestConformancePostgreSQL(t *testing.T) { testConformance(t, openNodesPostgreSQL) }

func TestNodesPostgreSQL(t *testing.T) { testNodes(t, openNodesPostgreSQL) }

func TestCrashPostgreSQL(t *testing.T) {
	dsn := newDSN(t)
	testCrash(t, "LEGALLOG_CRASH_DSN="+dsn, func() *Log { return openPostgreSQL(t, dsn) })
}

// An administrator who migrates an empty database twice at once migrates it once.
func TestMigrateAtOnce(t *testing.T) {
	dsn := bareDSN(newSchema(t))
	errs := race(4, func(n int) error {
		if err := MigratePostgreSQL(connect(t, ownerDSN(dsn)), testpostgres.Role); err != nil {
			return err
		}
		log, err := OpenPostgreSQL(connect(t, dsn), fmt.Sprint(n))
		if err == nil {
			err = errors.Join(log.Append(ctx, sampleEvent("x")), log.Close())
		}
		return err
	})
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	if rows := readAll(t, openPostgreSQL(t, dsn), Filter{}); len(rows) != 4 {
		t.Errorf("%d rows, want one of each of 4 nodes", len(rows))
	}
}

// A database that may lose what it has committed is refused, and the error says
// which setting.
func TestOpenRefusesUnsafe(t *testing.T) {
	newDSN(t)
	for _, setting := range []string{"synchronous_commit=off", "synchronous_commit=local"} {
		_, err := OpenPostgreSQL(connect(t, bareDSN("public")+" "+setting), "one")
		if want := strings.Replace(setting, "=", " = ", 1); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Open with %s = %v, want an error that names it", setting, err)
		}
	}
	unsafe, err := testpostgres.Start("fsync=off")
	if err != nil {
		t.Fatal(err)
	}
	defer unsafe.Stop()
	dsn := fmt.Sprintf("host=%s port=%d user=%s dbname=%[3]s", unsafe.Directory, unsafe.Port, testpostgres.Role)
	if _, err := OpenPostgreSQL(connect(t, dsn), "one"); err == nil || !strings.Contains(err.Error(), "fsync = off") {
		t.Errorf("Open with fsync off = %v, want an error that names it", err)
	}
}

// A server that hangs costs each call its time and no more; then all goes on.
func TestHungServer(t *testing.T) {
	log := openPostgreSQL(t, newDSN(t))
	mustAppend(t, log, sampleEvent("before"))
	log.timeout, log.writer.timeout = 300*time.Millisecond, 300*time.Millisecond
	goOn, err := server.Hang()
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	for name, call := range calls(log) {
		if err := call(ctx); err == nil || errors.Is(err, point.ErrConflict) || errors.Is(err, point.ErrUnknown) {
			t.Errorf("%s on a hung server: %v, want a temporary error", name, err)
		}
	}
	if took, most := time.Since(start), time.Duration(len(calls(log)))*10*time.Second; took > most {
		t.Errorf("%d calls of 0.3 s took %v", len(calls(log)), took)
	}
	if err := goOn(); err != nil {
		t.Fatal(err)
	}
	log.timeout, log.writer.timeout = defaultTimeout, defaultTimeout
	wantAppendSoon(t, log, "after")
	if got := ids(t, log); !strings.HasPrefix(got, "before") || !strings.HasSuffix(got, "after") {
		t.Errorf("the log has %q, want before first and after last", got)
	}
}

// wantAppendSoon appends until it succeeds, as the MTA's queue would.
func wantAppendSoon(t *testing.T, log *Log, id string) {
	t.Helper()
	var err error
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if err = log.Append(ctx, sampleEvent(id)); err == nil {
			return
		}
	}
	t.Fatalf("Append: %v", err)
}

// A node that stops in the middle of a transaction loses it, and the others go
// on; when it goes on itself it is told.
func TestStoppedNode(t *testing.T) {
	dsn := newDSN(t)
	other := openPostgreSQL(t, dsn)
	stopped := openPostgreSQL(t, strings.Replace(dsn, "idle_in_transaction_session_timeout=5s", "idle_in_transaction_session_timeout=1s", 1))
	begun, goOn := make(chan bool), make(chan bool)
	result := make(chan error)
	go func() {
		result <- stopped.writer.do(ctx, func(ctx context.Context, tx *transaction) error {
			close(begun)
			<-goOn
			_, err := tx.ExecContext(ctx, "INSERT INTO claims VALUES ('a', 'b')")
			return err
		})
	}()
	<-begun
	mustAppend(t, other, sampleEvent("x"))
	close(goOn)
	if err := <-result; err == nil {
		t.Error("the stopped node was told that its step is recorded")
	}
	mustAppend(t, stopped, sampleEvent("y"))
}

// TestKilledServer kills the server with all its processes, again and again,
// while two nodes write and try again what failed. Whatever was acknowledged is
// there, and nothing in part: also where an error came with a commit that had
// reached the disk.
func TestKilledServer(t *testing.T) {
	const perWorker = 25
	dsn := newDSN(t)
	logs := []*Log{openPostgreSQL(t, dsn), openPostgreSQL(t, dsn)}
	var done atomic.Int32
	finished := make(chan error)
	go func() {
		finished <- errors.Join(race(8, func(worker int) error {
			for i := range perWorker {
				if err := liveThrough(logs[worker%2], crashID(77, worker, i)); err != nil {
					return err
				}
				done.Add(1)
			}
			return nil
		})...)
	}()
	for kill := range int32(3) {
		for done.Load() < 8*perWorker*(kill+1)/5 {
			time.Sleep(time.Millisecond)
		}
		if err := errors.Join(server.Kill(), server.Restart()); err != nil {
			t.Fatal(err)
		}
	}
	if err := <-finished; err != nil {
		t.Fatal(err)
	}
	for worker := range 8 {
		for i := range perWorker {
			if err := checkStep(logs[0], crashID(77, worker, i), 3); err != nil {
				t.Errorf("worker %d, transaction %d: %v", worker, i, err)
			}
		}
	}
	checkNoHalves(t, logs[0])
}

// liveThrough does the steps of a transaction, each until it succeeds. A conflict
// of the intent is that with itself: its commit came through, its answer not.
func liveThrough(log *Log, id point.TransactionID) error {
	end := time.Now().Add(2 * time.Minute)
	for _, step := range crashSteps(log, id) {
		tried := 0
		for err := step(); err != nil; err = step() {
			if errors.Is(err, point.ErrConflict) && tried > 0 {
				break
			}
			if tried++; time.Now().After(end) {
				return err
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	return nil
}

// What is searched for has an index that PostgreSQL can use for that search.
func TestQueriesUseIndexesPostgreSQL(t *testing.T) {
	log := openPostgreSQL(t, newDSN(t)+" enable_seqscan=off enable_bitmapscan=off")
	tests := map[string]string{
		"SELECT 1 FROM events WHERE notice_id = 'n' AND kind = 'k' AND notice_id <> ''":                        "events_other_notice_id_idx",
		"SELECT seq FROM events WHERE id = 'x' AND id <> '' AND kind IN ('k') AND error_detail LIKE '5.4.1 %'": "events_other_id_idx",
		"SELECT seq FROM events WHERE seq > 1 ORDER BY seq LIMIT 500":                                          "events_other_pkey",
		"SELECT seq, hash FROM events WHERE node = 'n' ORDER BY seq DESC LIMIT 1":                              "events_other_node_seq_idx",
		"SELECT max(seq) FROM events": "events_other_pkey",
		"SELECT id FROM intents WHERE sent_at IS NOT NULL AND committed_at IS NULL ORDER BY sent_at":               "intents_unfinished",
		"SELECT id FROM intents WHERE key = '\\x01' ORDER BY generation DESC LIMIT 1":                              "intents_key_generation_key",
		"SELECT id FROM intents WHERE id = '\\x01'":                                                                "intents_pkey",
		"SELECT id FROM intents WHERE msgid = 'x' AND msgid <> '' AND door = 'd' ORDER BY generation DESC LIMIT 1": "intents_msgid",
		"SELECT own FROM verdicts WHERE digest = '\\x01' AND certificate = '\\x02'":                                "verdicts_pkey",
		"SELECT outcome FROM outcomes WHERE key = '\\x01'":                                                         "outcomes_pkey",
		"SELECT id FROM waits WHERE over_at IS NULL AND since <= 1 ORDER BY since, id, recipient":                  "waits_open",
		"UPDATE waits SET first_at = 1 WHERE id = 'x' AND recipient = 'r'":                                         "waits_pkey",
	}
	for query, want := range tests {
		plan, err := explain(log.db, query)
		if err != nil || !strings.Contains(plan, want+" ") {
			t.Errorf("%s: plan %s, %v, want %s", query, plan, err, want)
		}
	}
}

func explain(db *sql.DB, query string) (plan string, err error) {
	rows, err := db.Query("EXPLAIN " + query)
	if err != nil {
		return "", err
	}
	defer rows.Close()
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			return "", err
		}
		plan += line + "\n"
	}
	return plan, rows.Err()
}

// BenchmarkNodes shows what the turn costs: steps of two nodes at once, against
// those of one.
func BenchmarkNodes(b *testing.B) {
	for _, nodes := range []int{1, 2} {
		b.Run(fmt.Sprint(nodes, " nodes"), func(b *testing.B) {
			dsn := newDSN(b)
			var logs []*Log
			for range nodes {
				logs = append(logs, openPostgreSQL(b, dsn))
			}
			var next atomic.Int32
			b.SetParallelism(40)
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				log := logs[int(next.Add(1))%nodes]
				for pb.Next() {
					if err := log.Append(ctx, sampleEvent("x")); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}
