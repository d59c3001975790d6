package legallog

import (
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pec-milter/pec-milter/internal/point"
)

// lossScene is a log of two nodes whose database will lose rows. Those up to 6 are in
// the backup; up to 12 all are sealed; up to 14 anchored.
type lossScene struct {
	*testing.T
	nodes   []*Log // the first is one, the other two
	open    func(node string) *Log
	owner   *sql.DB
	sealers []*Sealer
	anchors string
	alarms  []Row
}

const inBackup, sealedOfLoss, anchoredOfLoss, allOfLoss = 6, 12, 14, 16

// testLosses runs each test on SQLite and on PostgreSQL.
func testLosses(t *testing.T, test func(*lossScene)) {
	t.Run("SQLite", func(t *testing.T) {
		dsn := SQLiteDSN(filepath.Join(t.TempDir(), "log.db"))
		x := &lossScene{T: t, open: func(node string) *Log {
			log, err := Open(openDatabase(t, dsn), node)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { log.Close() })
			return log
		}}
		x.write()
		x.owner = openDatabase(t, dsn)
		mustExec(t, x.owner, "DROP TRIGGER events_no_delete")
		test(x)
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		dsn := newDSN(t)
		x := &lossScene{T: t, open: func(node string) *Log {
			log, err := OpenPostgreSQL(connect(t, dsn), node)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { log.Close() })
			return log
		}}
		x.write()
		x.owner = connect(t, ownerDSN(dsn))
		for _, table := range []string{"events", "events_other"} {
			mustExec(t, x.owner, "ALTER TABLE "+table+" DISABLE TRIGGER USER")
		}
		test(x)
	})
}

func (x *lossScene) write() {
	x.nodes = []*Log{x.open("one"), x.open("two")}
	for _, log := range x.nodes {
		log.Remember(Head{}, func(row Row) { x.alarms = append(x.alarms, row) })
	}
	x.anchors = filepath.Join(x.TempDir(), "anchors")
	signer, directory := newSigner(x), filepath.Join(x.TempDir(), "seals")
	for n, event := range rowsOf(allOfLoss) {
		mustAppend(x, x.nodes[n%3%2], event)
		for _, log := range x.nodes {
			if n == sealedOfLoss-1 {
				s := newSealer(x, log)
				s.Signer, s.Directory, s.MaxRows = signer, directory, 3
				if _, err := s.Seal(ctx, sealedAt); err != nil {
					x.Fatal(err)
				}
				x.sealers = append(x.sealers, s)
			}
			if n == anchoredOfLoss-1 {
				head, err := log.Head(ctx)
				if err = errors.Join(err, AppendAnchor(x.anchors, head, sealedAt)); err != nil {
					x.Fatal(err)
				}
			}
		}
	}
}

// restore puts the database back to what it was after a row.
func (x *lossScene) restore(last int64) {
	mustExec(x, x.owner, fmt.Sprintf("DELETE FROM events WHERE seq > %d", last))
	mustExec(x, x.owner, fmt.Sprintf("DELETE FROM search WHERE seq > %d", last))
}

func (x *lossScene) verify() Report {
	x.Helper()
	v := verification(x.nodes[0], x.sealers[0])
	v.Anchors = []string{x.anchors}
	report, err := v.Verify(ctx)
	if err != nil {
		x.Fatal(err)
	}
	return report
}

// wantFault wants exactly one.
func (x *lossScene) wantFault(seq int64, what string) {
	x.Helper()
	if r := x.verify(); len(r.Faults) != 1 || r.Faults[0].Seq != seq || !strings.Contains(r.Faults[0].What, what) {
		x.Errorf("Verify: %v, want row %d: %s", r.Faults, seq, what)
	}
}

// imported puts sealed rows back, as the command does.
func (x *lossScene) imported(want int64) {
	x.Helper()
	put := &Import{Log: x.nodes[0], Seals: []string{x.sealers[0].Directory}, Now: sealedAt}
	missing, err := put.Missing(ctx)
	if missing != want || err != nil {
		x.Fatalf("Missing = %d, %v, want %d", missing, err, want)
	}
	mustAppend(x, x.nodes[0], point.ImportedEvent(t0, "who, what, why"))
	if back, err := put.PutBack(ctx); back != want || err != nil {
		x.Fatalf("PutBack = %d, %v, want %d", back, err, want)
	}
}

// OP-10: a daemon that runs while its database goes back to an older state writes nothing
// with the numbers of lost rows, and says what is lost; what is sealed can be put
// back; sealing and verifying go on, and whatever is changed then is found.
func TestRestored(t *testing.T) {
	testLosses(t, func(x *lossScene) {
		before := readAll(x.T, x.nodes[0], Filter{})
		x.restore(inBackup)
		for _, log := range x.nodes {
			mustAppend(x, log, rowsOf(2)...)
		}
		after := readAll(x.T, x.nodes[0], Filter{After: inBackup})
		var kinds []string
		for _, row := range after {
			kinds = append(kinds, fmt.Sprint(row.Node, " ", row.Seq-epoch, " ", row.Kind))
		}
		want := "[one 1 restored one 2 accepted one 3 accepted two 4 restored two 5 accepted two 6 accepted]"
		if fmt.Sprint(kinds) != want {
			x.Fatalf("rows %v, want %s", kinds, want)
		}
		if len(x.alarms) != 2 || x.alarms[0].Hash != after[0].Hash || x.alarms[1].Hash != after[3].Hash {
			x.Errorf("alarms %v, want those two rows", x.alarms)
		}
		if detail := fmt.Sprintf(lossText, inBackup, 16, before[15].Hash); after[0].Detail != detail {
			x.Errorf("detail %q, want %q", after[0].Detail, detail)
		}
		x.wantFault(inBackup+1, "sealed and not in the database")

		x.imported(sealedOfLoss - inBackup)
		x.wantOnlyLost(1)
		for n, row := range readAll(x.T, x.nodes[0], Filter{Before: epoch}) {
			if row.Hash != before[n].Hash {
				x.Errorf("row %d is not the one that was lost", row.Seq)
			}
		}
		x.imported(0)
		mustAppend(x, x.nodes[0], rowsOf(3)...)
		x.wantOnlyLost(1) // and nothing new
		for _, s := range x.sealers {
			if made, err := s.Seal(ctx, sealedAt); made == 0 || err != nil {
				x.Errorf("Seal = %d, %v, want the rows since", made, err)
			}
		}
		x.wantOnlyLost(1)
		if report := mustVerify(x, &Verification{Seals: []string{x.sealers[0].Directory}, Now: sealedAt}); len(report.Lost) == 0 {
			x.Error("the files alone do not tell what was lost")
		}
		x.wantFoundAll()
	})
}

// wantOnlyLost wants no fault, and one loss of each node, since row 12.
func (x *lossScene) wantOnlyLost(first int64) {
	x.Helper()
	report := x.verify()
	if len(report.Faults) > 0 || len(report.Lost) != 2 {
		x.Fatalf("Verify = %+v, want two losses and no fault", report)
	}
	want := fmt.Sprintf("row %d of node one: the database was restored to an older state: of the node's rows those after 12, up to 16, are lost", epoch+first)
	if got := report.Lost[0].String(); got != want {
		x.Errorf("lost: %s\nwant: %s", got, want)
	}
}

// wantFoundAll deletes one row after the other: each is missed. Without the row that
// excuses the lost ones, these are.
func (x *lossScene) wantFoundAll() {
	rows := readAll(x.T, x.nodes[0], Filter{})
	for _, row := range rows {
		tx, err := x.owner.Begin()
		if err != nil {
			x.Fatal(err)
		}
		if _, err := tx.Exec(fmt.Sprintf("DELETE FROM events WHERE seq = %d", row.Seq)); err != nil {
			x.Fatal(err)
		}
		s := &scene{t: x.T}
		v := &Verification{Rows: s.read(tx), Seals: []string{x.sealers[0].Directory}, Anchors: []string{x.anchors}, Now: sealedAt}
		report, err := v.Verify(ctx)
		if err = errors.Join(err, tx.Rollback()); err != nil {
			x.Fatal(err)
		}
		want := row.Seq
		if want == epoch+1 {
			want = sealedOfLoss + 1
		}
		if len(report.Faults) == 0 || report.Faults[0].Seq != want {
			x.Errorf("without row %d: %v", row.Seq, report.Faults)
		}
	}
}

// A loss of which nobody has taken note is a fault, though all sealed rows are there.
func TestRestoredUnnoticed(t *testing.T) {
	testLosses(t, func(x *lossScene) {
		x.restore(sealedOfLoss + 1)
		mustAppend(x, x.nodes[0], rowsOf(1)...)
		mustAppend(x, x.nodes[1], rowsOf(1)...)
		report := x.verify()
		if len(report.Lost) != 0 || len(report.Faults) != 2 {
			t.Fatalf("Verify = %+v, want the loss of each node as a fault", report)
		}
		if what := report.Faults[0].String(); !strings.Contains(what, "those after 13, up to 16, are lost, and nobody has taken note") {
			t.Error(what)
		}
		mustAppend(x, x.nodes[1], point.ImportedEvent(t0, "noted"))
		if report := x.verify(); len(report.Lost) != 2 || len(report.Faults) != 0 {
			t.Errorf("Verify = %+v, want two losses of which somebody took note", report)
		}
	})
}

// A daemon that was stopped knows from its files; one whose files are gone cannot know.
func TestRestoredWhileStopped(t *testing.T) {
	testLosses(t, func(x *lossScene) {
		x.restore(inBackup)
		for _, node := range []string{"one", "two"} {
			known, err := Known(x.sealers[0].Directory, x.anchors, node)
			if err != nil || known.Seq < sealedOfLoss || known.Seq > anchoredOfLoss {
				t.Fatalf("Known(%s) = %+v, %v, want the last anchor", node, known, err)
			}
			log := x.open(node)
			log.Remember(known, nil)
			mustAppend(x, log, rowsOf(1)...)
		}
		x.imported(sealedOfLoss - inBackup)
		if report := x.verify(); len(report.Faults) != 0 || len(report.Lost) != 2 {
			t.Errorf("Verify = %+v, want two losses and no fault", report)
		}
	})
}

// OP-10: a row that was written with the number of a sealed one is never overwritten.
func TestImportConflict(t *testing.T) {
	testLosses(t, func(x *lossScene) {
		x.restore(inBackup)
		mustAppend(x, x.open("one"), rowsOf(3)...)
		put := &Import{Log: x.nodes[0], Seals: []string{x.sealers[0].Directory}, Now: sealedAt}
		before := readAll(x.T, x.nodes[0], Filter{})
		if _, err := put.Missing(ctx); !errors.Is(err, ErrConflict) || !strings.Contains(err.Error(), "row 7 of node one, one-20260330-") {
			t.Errorf("Missing = %v, want a conflict about row 7", err)
		}
		if _, err := put.PutBack(ctx); !errors.Is(err, ErrConflict) {
			t.Errorf("PutBack = %v, want %v", err, ErrConflict)
		}
		for n, row := range readAll(x.T, x.nodes[0], Filter{})[:len(before)] {
			if row.Hash != before[n].Hash {
				t.Errorf("row %d was changed", row.Seq)
			}
		}
	})
}

// What came back is found as before; what is over 30 months old stays away.
func TestImportFinds(t *testing.T) {
	testLosses(t, func(x *lossScene) {
		x.restore(inBackup)
		found := func() (count int) {
			for _, err := range x.nodes[0].Search(ctx, Query{Subject: "Perché no? 8"}) {
				if err != nil {
					t.Fatal(err)
				}
				count++
			}
			return count
		}
		old := &Import{Log: x.nodes[0], Seals: []string{x.sealers[0].Directory}, Now: sealedAt.AddDate(3, 0, 0)}
		if missing, err := old.Missing(ctx); missing != 0 || err != nil || found() != 0 {
			t.Errorf("after 30 months: %d to put back, %v, %d found, want none", missing, err, found())
		}
		x.imported(sealedOfLoss - inBackup)
		if found() != 1 {
			t.Errorf("found %d times, want once", found())
		}
	})
}

// Each file alone says enough, damaged or not.
func TestKnown(t *testing.T) {
	dir := t.TempDir()
	log := openFile(t, filepath.Join(dir, "log.db"))
	s, anchors := newSealer(t, log), filepath.Join(dir, "anchors")
	wantKnown := func(what string, want int64) {
		t.Helper()
		if known, err := Known(s.Directory, anchors, "one"); known.Seq != want || err != nil {
			t.Errorf("%s: Known = %+v, %v, want row %d", what, known, err, want)
		}
	}
	wantKnown("nothing", 0)
	mustAppend(t, log, rowsOf(5)...)
	mustSeal(t, s, 1)
	wantKnown("a seal", 5)
	mustAppend(t, log, rowsOf(6)...)
	mustSeal(t, s, 1)
	wantKnown("two seals", 11)
	base := filepath.Join(s.Directory, "one-20260330-2")
	for _, ending := range []string{manifestEnding, signatureEnding} {
		if err := os.Remove(base + ending); err != nil {
			t.Fatal(err)
		}
	}
	wantKnown("a seal that was interrupted", 11)
	for n := range 5000 {
		if err := appendAnchorFast(anchors, Head{Node: "one", Seq: int64(20 + n%4000)}); err != nil {
			t.Fatal(err)
		}
	}
	wantKnown("anchors", 1019)
	f, err := os.OpenFile(anchors, os.O_WRONLY|os.O_APPEND, 0)
	if err == nil {
		_, err = f.WriteString(`{"time":"2026-03-30T00:01:00Z","node":"one","seq":9999,"hash":"` + strings.Repeat("0", 64))
	}
	if err = errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	wantKnown("an anchor that was cut off", 1019)
	if err := os.WriteFile(filepath.Join(s.Directory, "one-20260330-2"+rowsEnding), []byte("{}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Known(s.Directory, anchors, "one"); err == nil || !strings.Contains(err.Error(), "one-20260330-2.ndjson: after row 0") {
		t.Errorf("a damaged file of rows: %v, want it named", err)
	}
}

// appendAnchorFast does not wait for the disk.
func appendAnchorFast(path string, head Head) error {
	line, err := encodeLine(Anchor{sealedAt.Truncate(time.Second), head})
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(line)
	return errors.Join(err, f.Close())
}
