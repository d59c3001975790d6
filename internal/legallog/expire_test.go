package legallog

import (
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/pec-milter/pec-milter/internal/point"
	"github.com/pec-milter/pec-milter/pec"
)

// TestRetentionEnd is case OP-11: the first day on which a row may go.
func TestRetentionEnd(t *testing.T) {
	for _, c := range []struct{ name, row, first string }{ // by legal time
		{"middle of a month", "2026-03-14T12:00:00Z", "2028-09-15"},
		{"first of a month", "2026-03-01T00:00:00Z", "2028-09-02"},
		{"last moment of a month", "2026-03-31T21:59:59.999999Z", "2028-10-01"},
		{"first moment of the next", "2026-03-31T22:00:00Z", "2028-10-02"},
		{"end of a year", "2026-12-31T22:59:59Z", "2029-07-01"},
		{"31st to February", "2027-08-31T12:00:00Z", "2030-03-01"},
		{"31st to February of a leap year", "2025-08-31T12:00:00Z", "2028-03-01"},
		{"29 February", "2028-02-29T00:00:00Z", "2030-08-30"},
		{"28 February of a leap year", "2028-02-28T22:59:59Z", "2030-08-29"},
		{"to 29 February", "2025-08-29T12:00:00Z", "2028-03-01"},
		{"UTC is a month behind", "2026-02-28T23:30:00Z", "2028-09-02"},
	} {
		t.Run(c.name, func(t *testing.T) {
			row, err := time.Parse(time.RFC3339, c.row)
			first, err2 := time.ParseInLocation(time.DateOnly, c.first, pec.LegalTime(t0).Location())
			if err != nil || err2 != nil {
				t.Fatal(err, err2)
			}
			if got := retentionEnd(row); !got.Equal(first) {
				t.Errorf("a row of %s may go from %v on, want %v", c.row, got, first)
			}
			if over(row, first.Add(-time.Nanosecond)) || !over(row, first) || over(row, first.AddDate(0, 0, -1)) {
				t.Errorf("a row of %s does not go with the beginning of %s", c.row, c.first)
			}
		})
	}
}

// Case OP-11: for every day of 30 years nothing goes before 30 months to the day are over, and
// cutoff says the same as over.
func TestRetentionNeverEarly(t *testing.T) {
	for now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC); now.Year() < 2056; now = now.AddDate(0, 0, 1) {
		at := cutoff(now)
		last := at.Add(-time.Microsecond)
		if !over(last, now) || over(at, now) {
			t.Fatalf("on %s the cutoff is %s, want the first row that stays", now.Format(time.DateOnly), at)
		}
		now, last := pec.LegalTime(now), pec.LegalTime(last)
		passed := (now.Year()-last.Year())*12 + int(now.Month()) - int(last.Month())
		if passed < months || passed == months && now.Day() <= last.Day() {
			t.Fatalf("on %s a row of %s goes, before its 30 months are over", now.Format(time.DateOnly), last)
		}
	}
}

// expiring is when all rows of March 2026, in UTC, may go.
var expiring = time.Date(2028, 10, 1, 22, 0, 0, 0, time.UTC)

// monthly are rows of March and of April 2026.
func monthly() []point.Event {
	var events []point.Event
	march, april := time.Date(2026, 3, 31, 23, 59, 59, 999999000, time.UTC), time.Date(2026, 4, 2, 0, 0, 0, 0, time.UTC)
	for _, at := range []time.Time{march, march, april, march, april, march} {
		event := sampleEvent(at.Format(time.RFC3339))
		event.Time = at
		events = append(events, event)
	}
	return events
}

func seqs(t *testing.T, log *Log) (all []int64) {
	t.Helper()
	for _, row := range readAll(t, log, Filter{}) {
		all = append(all, row.Seq)
	}
	return all
}

func testExpiry(t *testing.T, log *Log, x Expiry, expire func(*Expiry) (int64, error)) {
	s := newSealer(t, log)
	mustAppend(t, log, monthly()...)
	x.Seals = []string{s.Directory}
	wantGone := func(what string, now time.Time, want int64, left ...int64) {
		t.Helper()
		x.Now = now
		if gone, err := expire(&x); gone != want || err != nil {
			t.Errorf("%s: %d rows gone, %v, want %d", what, gone, err, want)
		}
		if got := seqs(t, log); !slices.Equal(got, left) {
			t.Errorf("%s: rows %v are left, want %v", what, got, left)
		}
	}
	wantGone("not sealed", expiring.AddDate(1, 0, 0), 0, 1, 2, 3, 4, 5, 6)
	mustSeal(t, s, 1)
	mustAppend(t, log, monthly()[2], monthly()[2]) // not sealed; the last stays for ever
	wantGone("a moment too early", expiring.Add(-time.Second), 0, 1, 2, 3, 4, 5, 6, 7, 8)
	wantGone("March is over", expiring, 4, 3, 5, 7, 8)
	v := verification(log, s)
	v.Now = expiring
	mustVerify(t, v)
	v.Now = expiring.Add(-time.Second)
	if report, err := v.Verify(ctx); err != nil || len(report.Faults) != 1 || report.Faults[0].Seq != 1 {
		t.Errorf("rows that were removed too early: %+v, %v, want row 1 named", report, err)
	}
	mustAppend(t, log, monthly()[0])
	v = verification(log, s)
	v.Now = expiring
	mustVerify(t, v)
	for _, statement := range []string{"DELETE FROM events", "UPDATE events SET subject = 'forged'"} {
		wantAppendOnly(t, log, statement)
	}
}

// TestExpirySQLite is case OP-11 on SQLite.
func TestExpirySQLite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log.db")
	log := openFile(t, path)
	testExpiry(t, log, Expiry{DB: openDatabase(t, SQLiteDSN(path))}, func(x *Expiry) (int64, error) { return x.SQLite(ctx) })
}

// TestExpiryPostgreSQL is case OP-11 on PostgreSQL.
func TestExpiryPostgreSQL(t *testing.T) {
	for name, partitions := range map[string]bool{"months": true, "the partition for all others": false} {
		t.Run(name, func(t *testing.T) {
			dsn := newDSN(t)
			log := openPostgreSQL(t, dsn)
			if partitions {
				if _, err := log.MakePartitions(ctx, t0); err != nil {
					t.Fatal(err)
				}
			}
			owner := connect(t, ownerDSN(dsn))
			owner.SetMaxOpenConns(2)
			testExpiry(t, log, Expiry{DB: owner}, func(x *Expiry) (int64, error) { return x.PostgreSQL(ctx) })
		})
	}
}

// A partition goes whole or not at all: with rows that are not sealed it stays.
func TestExpiryOfWholePartitions(t *testing.T) {
	dsn := newDSN(t)
	log := openPostgreSQL(t, dsn)
	if _, err := log.MakePartitions(ctx, t0); err != nil {
		t.Fatal(err)
	}
	s := newSealer(t, log)
	mustAppend(t, log, monthly()...)
	mustSeal(t, s, 1)
	mustAppend(t, log, monthly()[0], monthly()[2])
	x := Expiry{DB: connect(t, ownerDSN(dsn)), Seals: []string{s.Directory}, Now: expiring}
	if gone, err := x.PostgreSQL(ctx); gone != 0 || err != nil {
		t.Errorf("%d rows gone, %v, want none while one of the month is not sealed", gone, err)
	}
	mustSeal(t, s, 1)
	if gone, err := x.PostgreSQL(ctx); gone != 5 || err != nil {
		t.Errorf("%d rows gone, %v, want all five of March", gone, err)
	}
}
