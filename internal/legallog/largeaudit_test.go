package legallog

import (
	"cmp"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// TestLargeAudit audits a day, of a database and of lines, in bounded memory.
func TestLargeAudit(t *testing.T) {
	t.Run("database", auditLargeDatabase)
	t.Run("lines", auditLargeLines)
}

// heapBound is what an audit may take, however many rows there are.
const heapBound = 400 << 20

func auditLargeDatabase(t *testing.T) {
	log := openFile(t, filepath.Join(t.TempDir(), "log.db"))
	day := 24 * time.Hour
	g := newLarge(*largeDay, t0, day)
	fillSQLite(t, log.db, g)
	done := watchAudit(t, "rows of the database", g.rows)
	count := int64(0)
	for b, err := range log.Breaches(ctx, t0, t0.Add(day), func(n int64) { count = n }) {
		t.Fatalf("%v, %v: the log is good", b, err)
	}
	done()
	if count != int64(g.rows) {
		t.Errorf("%d rows were read, want %d", count, g.rows)
	}
}

func auditLargeLines(t *testing.T) {
	g := newLarge(*largeDay, t0, 24*time.Hour)
	r, w := io.Pipe()
	go func() { w.CloseWithError(writeLines(w, g)) }()
	done := watchAudit(t, "lines", g.rows)
	breaches := breachesOf(t, &Audit{}, ReadLines(r, "lines"))
	done()
	if len(breaches) != 1 || !strings.Contains(breaches[0].Rule, "0 consegne") {
		t.Errorf("breaches %v, want the one", breaches)
	}
}

// writeLines leaves the last row out: an avvenuta-consegna is missing.
func writeLines(w io.Writer, g *large) error {
	for row, more := g.next(); more && row.Seq < int64(g.rows); row, more = g.next() {
		line, err := row.Line()
		if err == nil {
			_, err = w.Write(line)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// watchAudit tells how long an audit takes, and bounds the heap.
func watchAudit(t *testing.T, what string, rows int) (done func()) {
	peak, began := watchHeap(), time.Now()
	return func() {
		heap := peak()
		load, _ := os.ReadFile("/proc/loadavg")
		t.Logf("%d %s audited in %v, heap %d MiB (load average %.14s)", rows, what, time.Since(began).Round(time.Millisecond),
			heap>>20, cmp.Or(string(load), "not known"))
		if heap > heapBound {
			t.Errorf("heap of %d MiB, want at most %d", heap>>20, heapBound>>20)
		}
	}
}

// watchHeap looks at the heap now and then, until it is asked for the highest.
func watchHeap() (peak func() uint64) {
	runtime.GC()
	quit, highest := make(chan struct{}), make(chan uint64)
	go func() {
		var high uint64
		for {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			high = max(high, m.HeapAlloc)
			select {
			case <-quit:
				highest <- high
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	}()
	return func() uint64 { close(quit); return <-highest }
}
