package legallog

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pec-milter/pec-milter/internal/point"
)

// batch makes a step for each event id; "bad" fails after it has written.
func batch(t *testing.T, ids ...string) []*step {
	t.Helper()
	var steps []*step
	for _, id := range ids {
		rows, err := newRows([]point.Event{sampleEvent(id)})
		if err != nil {
			t.Fatal(err)
		}
		steps = append(steps, &step{ctx: ctx, done: make(chan error, 1), run: func(_ context.Context, tx *transaction) error {
			tx.append(rows)
			if id == "bad" {
				return point.ErrConflict
			}
			return nil
		}})
	}
	return steps
}

func ids(t *testing.T, log *Log) string {
	t.Helper()
	var got []string
	for _, row := range readAll(t, log, Filter{}) {
		got = append(got, row.ID)
	}
	return strings.Join(got, " ")
}

func testBatchKeepsFailuresApart(t *testing.T, log *Log) {
	ended, cancel := context.WithCancel(ctx)
	cancel()
	steps := batch(t, "a", "bad", "b", "gone", "c")
	steps[3].ctx = ended
	log.writer.commit(steps)
	for i, want := range []error{nil, point.ErrConflict, nil, context.Canceled, nil} {
		wantError(t, fmt.Sprint("step ", i), <-steps[i].done, want)
	}
	if got := ids(t, log); got != "a b c" {
		t.Errorf("the log has %q, want a b c", got)
	}
}

// Whoever lost the transaction under all of them, nobody is told that his step
// is recorded, nor of a conflict with a step that is not.
func testBatchFailsWhole(t *testing.T, log *Log) {
	steps := batch(t, "a", "bad", "b")
	steps[2].run = func(ctx context.Context, tx *transaction) error {
		_, err := tx.ExecContext(ctx, "ROLLBACK") // as SQLite does on a full disk
		return errors.Join(err, errors.New("disk full"))
	}
	log.writer.commit(steps)
	for i, s := range steps {
		if err := <-s.done; err == nil || errors.Is(err, point.ErrConflict) {
			t.Errorf("step %d: %v, want the transaction's error", i, err)
		}
	}
	mustAppend(t, log, sampleEvent("later"))
	if got := ids(t, log); got != "later" {
		t.Errorf("the log has %q, want only what came later", got)
	}
}

func testWaitingCallersShareCommit(t *testing.T, log *Log) {
	const n = 20
	transactions := make([]*transaction, n)
	started, hold := make(chan bool), make(chan bool)
	go log.writer.do(ctx, func(context.Context, *transaction) error { close(started); <-hold; return nil })
	<-started
	time.AfterFunc(300*time.Millisecond, func() { close(hold) })
	for _, err := range race(n, func(i int) error {
		return log.writer.do(ctx, func(_ context.Context, tx *transaction) error { transactions[i] = tx; return nil })
	}) {
		if err != nil {
			t.Fatal(err)
		}
	}
	commits := make(map[*transaction]bool)
	for _, tx := range transactions {
		commits[tx] = true
	}
	if len(commits) > n/2 {
		t.Errorf("%d callers who waited needed %d commits, want them shared", n, len(commits))
	}
}

func TestLockedDatabase(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log.db")
	log := openDSN(t, strings.Replace(SQLiteDSN(path), "busy_timeout(5000)", "busy_timeout(100)", 1))
	other, err := openDatabase(t, SQLiteDSN(path)).Begin() // takes the file's lock
	if err != nil {
		t.Fatal(err)
	}
	for name, call := range calls(log) {
		if !writes(name) {
			continue
		}
		if err := call(ctx); err == nil || errors.Is(err, point.ErrConflict) || errors.Is(err, point.ErrUnknown) {
			t.Errorf("%s on a locked database: %v, want a temporary error", name, err)
		}
	}
	if got := ids(t, log); got != "" {
		t.Errorf("a reader saw %q, want nothing, and no waiting", got)
	}
	other.Rollback()
	mustAppend(t, log, sampleEvent("later"))
	if got := ids(t, log); got != "later" {
		t.Errorf("the log has %q, want only what came later", got)
	}
}

// writes tells whether a method of calls writes.
func writes(name string) bool {
	return strings.HasPrefix(name, "A") || strings.HasPrefix(name, "M") || strings.HasPrefix(name, "P")
}

func TestDeadlineOnLockedDatabase(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log.db")
	log := openFile(t, path)
	other, err := openDatabase(t, SQLiteDSN(path)).Begin()
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	errs := race(3, func(i int) error {
		short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
		defer cancel()
		return log.AddIntent(short, sampleIntent(byte(i), byte(i), 0), nil, sampleEvent("x"))
	})
	for _, err := range errs {
		wantError(t, "AddIntent", err, context.DeadlineExceeded)
	}
	if waited := time.Since(start); waited > 3*time.Second {
		t.Errorf("callers with 100 ms waited %v", waited)
	}
	other.Rollback()
	mustAppend(t, log, sampleEvent("later")) // after the batch that was abandoned
	checkWhole(t, log)
}

func TestFullDisk(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log.db")
	log := openDSN(t, SQLiteDSN(path)+"&_pragma=max_page_count(60)")
	event := sampleEvent("big")
	event.Subject = strings.Repeat("x", 2000)
	stored := 0
	for i := range 200 {
		intent := sampleIntent(byte(i), byte(i), 0)
		if log.AddIntent(ctx, intent, nil, event) == nil {
			stored++
		}
	}
	if stored == 0 || stored == 200 {
		t.Fatalf("%d of 200 intents fitted: the disk did not fill", stored)
	}
	checkWhole(t, log)
	log.Close()
	larger := openFile(t, path)
	checkWhole(t, larger)
	if rows := readAll(t, larger, Filter{}); len(rows) != stored {
		t.Errorf("%d rows, %d acknowledged", len(rows), stored)
	}
	mustAppend(t, larger, event)
}

// checkWhole tells that as many intents as events of acceptance are there.
func checkWhole(t *testing.T, log *Log) {
	t.Helper()
	var intents, events int
	err := log.db.QueryRow("SELECT (SELECT count(*) FROM intents), (SELECT count(*) FROM events WHERE id <> 'later')").Scan(&intents, &events)
	if err != nil || intents != events {
		t.Errorf("%d intents, %d events, %v, want as many", intents, events, err)
	}
}

// BenchmarkAppend shows what sharing commits gives: the time for one event
// with few and with many callers.
func BenchmarkAppend(b *testing.B) {
	for _, callers := range []int{1, 10, 40} {
		b.Run(fmt.Sprint(callers, " callers a CPU"), func(b *testing.B) {
			log := openFile(b, filepath.Join(b.TempDir(), "log.db"))
			b.SetParallelism(callers)
			b.RunParallel(func(pb *testing.PB) {
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

// BenchmarkRows shows what a message's rows cost: four of them in one step, with
// many callers. On PostgreSQL the log has a partition for each of 30 months.
func BenchmarkRows(b *testing.B) {
	for name, open := range map[string]func(*testing.B) *Log{
		"SQLite":     func(b *testing.B) *Log { return openFile(b, filepath.Join(b.TempDir(), "log.db")) },
		"PostgreSQL": func(b *testing.B) *Log { return openPostgreSQL(b, newDSN(b)) },
	} {
		b.Run(name, func(b *testing.B) {
			log, event := open(b), sampleEvent("x")
			for month := 0; month < 30; month += 3 {
				if _, err := log.MakePartitions(ctx, t0.AddDate(0, -month, 0)); err != nil {
					b.Fatal(err)
				}
			}
			b.SetParallelism(20)
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if err := log.Append(ctx, event, event, event, event); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}
