package legallog

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// The tests of tampering are case OP-10: whatever is changed in the rows, sealed or up to the
// last anchored head, and in the sealed files, is found, and the first bad row
// named.

// TestTamperingSQLite is case OP-10 on SQLite.
func TestTamperingSQLite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log.db")
	one := openFile(t, path)
	two, err := Open(openDatabase(t, SQLiteDSN(path)), "two")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { two.Close() })
	rogue := openDatabase(t, strings.Replace(SQLiteDSN(path), "synchronous(FULL)", "synchronous(OFF)", 1))
	for _, trigger := range []string{"events_no_update", "events_no_delete", "events_no_replace"} {
		mustExec(t, rogue, "DROP TRIGGER "+trigger)
	}
	testTampering(t, one, two, rogue)
}

// TestTamperingPostgreSQL is case OP-10 on PostgreSQL.
func TestTamperingPostgreSQL(t *testing.T) {
	dsn := newDSN(t)
	one := openPostgreSQL(t, dsn)
	two, err := OpenPostgreSQL(connect(t, dsn), "two")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { two.Close() })
	if _, err := one.MakePartitions(ctx, t0); err != nil {
		t.Fatal(err)
	}
	rogue := connect(t, strings.Replace(ownerDSN(dsn), "idle_in_transaction_session_timeout=5s", "idle_in_transaction_session_timeout=0", 1))
	for _, table := range []string{"events", "events_other", "events_202603", "events_202604"} {
		mustExec(t, rogue, "ALTER TABLE "+table+" DISABLE TRIGGER USER")
	}
	testTampering(t, one, two, rogue)
}

// scene is a log of two nodes: some rows sealed, some anchored, the last two
// neither.
type scene struct {
	t       *testing.T
	db      *sql.DB // as a rogue
	sealers []*Sealer
	anchors string
	rows    []Row // as they were written
	random  *rand.Rand
}

const sealedRowsOfScene, anchoredRows, allRows = 18, 26, 28

func testTampering(t *testing.T, one, two *Log, rogue *sql.DB) {
	x := &scene{t: t, db: rogue, anchors: filepath.Join(t.TempDir(), "anchors"), random: rand.New(rand.NewPCG(1, 2))}
	nodes, signer := []*Log{one, two}, newSigner(t)
	for n, event := range rowsOf(allRows) {
		mustAppend(t, nodes[n%3%2], event)
		for i, node := range nodes {
			if n == sealedRowsOfScene-1 {
				s := newSealer(t, node)
				s.Signer = signer
				s.MaxRows = int64(5 + i)
				s.Stamp = func(_ context.Context, digest [32]byte) ([]byte, error) { return digest[:], nil }
				if _, err := s.Seal(ctx, sealedAt); err != nil {
					t.Fatal(err)
				}
				x.sealers = append(x.sealers, s)
			}
			if n == anchoredRows-1 || n == sealedRowsOfScene+3 {
				head, err := node.Head(ctx)
				if err = errors.Join(err, AppendAnchor(x.anchors, head, sealedAt)); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	x.rows = readAll(t, one, Filter{})
	if report := x.verify(nil); len(report.Faults) > 0 || report.Anchors != 4 || report.Sealed != sealedRowsOfScene {
		t.Fatalf("report %+v of what nobody has touched", report)
	}
	kinds := []func(*scene) string{
		(*scene).edit, (*scene).delete, (*scene).swap, (*scene).insert, (*scene).rewrite,
		(*scene).editFile, (*scene).editLines, (*scene).loseFile,
	}
	for n := range tamperings {
		if problem := kinds[n%len(kinds)](x); problem != "" {
			t.Fatalf("change %d: %s", n, problem)
		}
	}
	if report := x.verify(nil); len(report.Faults) > 0 {
		t.Errorf("report %+v after all was undone", report)
	}
}

// verify compares the rows as a transaction sees them, or without one as they were
// written.
func (x *scene) verify(tx *sql.Tx) Report {
	x.t.Helper()
	v := &Verification{
		Rows: x.read(tx), Seals: []string{x.sealers[0].Directory, x.sealers[1].Directory}, Anchors: []string{x.anchors},
		Signer: signedBy(x.sealers[0].Signer.(*testSigner).ca), Now: sealedAt, StampBy: time.Hour,
		Stamp: func(stamp []byte, digest [32]byte) (time.Time, error) {
			if !bytes.Equal(stamp, digest[:]) {
				return time.Time{}, errors.New("the stamp is of something else")
			}
			return sealedAt, nil
		},
	}
	report, err := v.Verify(ctx)
	if err != nil {
		x.t.Fatal(err)
	}
	return report
}

func (x *scene) read(tx *sql.Tx) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		if tx == nil {
			for _, row := range x.rows {
				if !yield(row, nil) {
					return
				}
			}
			return
		}
		rows, err := tx.Query("SELECT " + eventColumns + " FROM events ORDER BY seq")
		if err != nil {
			x.t.Fatal(err)
		}
		defer rows.Close()
		for rows.Next() {
			if !yield(scanRow(rows)) {
				return
			}
		}
		if err := rows.Err(); err != nil {
			yield(Row{}, err)
		}
	}
}

// pick is a row up to the last anchor, by its number.
func (x *scene) pick() int64 { return 1 + x.random.Int64N(anchoredRows) }

// changed makes a change of the database, verifies, and undoes it. The first bad row
// must be between two numbers.
func (x *scene) changed(low, high int64, statements ...string) string {
	tx, err := x.db.Begin()
	if err != nil {
		x.t.Fatal(err)
	}
	defer tx.Rollback()
	for _, statement := range statements {
		if _, err := tx.Exec(statement); err != nil {
			x.t.Fatalf("%s: %v", statement, err)
		}
	}
	report := x.verify(tx)
	if len(report.Faults) != 1 || report.Faults[0].Seq < low || report.Faults[0].Seq > high {
		return fmt.Sprintf("%q: found %v, want row %d to %d", statements, report.Faults, low, high)
	}
	return ""
}

// another is an SQL expression of another value for a column.
func (x *scene) another(column string) string {
	bytesOf := "x'%s'"
	if x.postgresql() {
		bytesOf = `'\x%s'::bytea`
	}
	switch column {
	case "time", "size":
		return fmt.Sprintf("%s + %d", column, 1+x.random.IntN(1000))
	case "recipients":
		return `'[{"address":"eve@alfa.example","kind":"esterno"}]'`
	case "related", "taken_for":
		return `'["eve@alfa.example"]'`
	case "hash":
		return fmt.Sprintf(bytesOf, fmt.Sprintf("%064x", x.random.Uint64()))
	case "node":
		return "CASE node WHEN 'one' THEN 'two' ELSE 'one' END"
	}
	return []string{column + " || ' '", "'x' || " + column, "upper(" + column + " || 'x')"}[x.random.IntN(3)]
}

func (x *scene) postgresql() bool {
	return strings.Contains(fmt.Sprintf("%T", x.db.Driver()), "stdlib")
}

func (x *scene) edit() string {
	var columns []string
	for column := range strings.SplitSeq(eventColumns, ",") {
		if column = strings.TrimSpace(column); column != "seq" {
			columns = append(columns, column)
		}
	}
	k, column := x.pick(), columns[x.random.IntN(len(columns))]
	return x.changed(k, k, fmt.Sprintf("UPDATE events SET %s = %s WHERE seq = %d", column, x.another(column), k))
}

func (x *scene) delete() string {
	k := x.pick()
	return x.changed(k, k, fmt.Sprintf("DELETE FROM events WHERE seq >= %d AND seq <= %d", k, k+x.random.Int64N(3)))
}

func (x *scene) swap() string {
	i, j := x.pick(), x.pick()
	if i == j {
		return ""
	}
	renumber := func(from, to int64) string { return fmt.Sprintf("UPDATE events SET seq = %d WHERE seq = %d", to, from) }
	return x.changed(min(i, j), min(i, j), renumber(i, -1), renumber(j, i), renumber(-1, j))
}

// insert puts a row in between; those after it are numbered anew.
func (x *scene) insert() string {
	k := x.pick()
	columns := strings.Replace(eventColumns, "subject", "'more'", 1)
	return x.changed(k, k,
		fmt.Sprintf("UPDATE events SET seq = -seq - 1 WHERE seq >= %d", k), "UPDATE events SET seq = -seq WHERE seq < 0",
		fmt.Sprintf("INSERT INTO events (%s) SELECT %s FROM events WHERE seq = %d", eventColumns,
			strings.Replace(columns, "seq", fmt.Sprint(k), 1), k+1))
}

// rewrite changes a row and makes all hashes after it anew, as who knows how would.
// A sealed row is found at once; of the others, the next that was anchored.
func (x *scene) rewrite() string {
	k := x.pick()
	rows := slices.Clone(x.rows)
	bytesOf := "x'%v'"
	if x.postgresql() {
		bytesOf = `'\x%v'::bytea`
	}
	target := &rows[k-1]
	target.Subject = "forged"
	statements := []string{fmt.Sprintf("UPDATE events SET subject = 'forged' WHERE seq = %d", k)}
	after := map[string]Hash{"one": First("one"), "two": First("two")}
	for i := range rows {
		r := &rows[i]
		hash, err := after[r.Node].Next(*r)
		if err != nil {
			x.t.Fatal(err)
		}
		if r.Hash != hash {
			statements = append(statements, fmt.Sprintf("UPDATE events SET hash = "+bytesOf+" WHERE seq = %d", hash, r.Seq))
		}
		after[r.Node] = hash
	}
	high := k
	if k > sealedRowsOfScene {
		high = anchoredRows
	}
	return x.changed(k, high, statements...)
}
