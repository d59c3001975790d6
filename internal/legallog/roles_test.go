package legallog

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pec-milter/pec-milter/internal/point"
	"github.com/pec-milter/pec-milter/internal/testpostgres"
)

// A database without the tables, or whose tables are the daemon's own, is
// refused, and the error says what to do.
func TestOpenRefusesUnprepared(t *testing.T) {
	schema := newSchema(t)
	dsn := bareDSN(schema)
	if _, err := OpenPostgreSQL(connect(t, dsn), "one"); err == nil || !strings.Contains(err.Error(), "database migrate") {
		t.Errorf("Open without tables = %v, want an error that names the command", err)
	}
	if err := MigratePostgreSQL(connect(t, ownerDSN(dsn)), testpostgres.Role); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenPostgreSQL(connect(t, ownerDSN(dsn)), "one"); !errors.Is(err, errMayChange) {
		t.Errorf("Open as the owner = %v, want %v", err, errMayChange)
	}
	sqlAsAdministrator(t, fmt.Sprintf("GRANT DELETE ON %s.events TO %q;", schema, testpostgres.Role))
	if _, err := OpenPostgreSQL(connect(t, dsn), "one"); !errors.Is(err, errMayChange) {
		t.Errorf("Open by a role that may delete = %v, want %v", err, errMayChange)
	}
}

// The daemon's role cannot change the log, nor any partition of it, and the
// owner's mistakes are kept out.
func TestRoleMayNotChange(t *testing.T) {
	dsn := newDSN(t)
	log := openPostgreSQL(t, dsn)
	if all, err := log.MakePartitions(ctx, t0); !all || err != nil {
		t.Fatalf("MakePartitions = %v, %v", all, err)
	}
	mustAppend(t, log, sampleEvent("one"))
	for _, statement := range []string{
		"UPDATE events SET subject = 'forged'", "DELETE FROM events", "TRUNCATE events", "DROP TABLE events",
		"DELETE FROM events_202603", "INSERT INTO events_202603 SELECT * FROM events", "ALTER TABLE events DISABLE TRIGGER ALL",
		"ALTER TABLE events DETACH PARTITION events_202603", "DROP TABLE events_202603",
		"CREATE TABLE another ()", "DELETE FROM intents", "UPDATE outcomes SET outcome = ''", "DROP FUNCTION events_month(BIGINT)",
	} {
		if _, err := log.db.Exec(statement); err == nil ||
			!strings.Contains(err.Error(), "permission denied") && !strings.Contains(err.Error(), "must be owner") {
			t.Errorf("%s by the daemon's role = %v, want it refused", statement, err)
		}
	}
	owner := connect(t, ownerDSN(dsn))
	for _, statement := range []string{
		"UPDATE events SET subject = 'forged'", "DELETE FROM events", "TRUNCATE events", "DELETE FROM events_202603",
	} {
		if _, err := owner.Exec(statement); err == nil || !strings.Contains(err.Error(), "append-only") {
			t.Errorf("%s by the owner = %v, want it refused as append-only", statement, err)
		}
	}
}

// Each row goes into the partition of its month; a row that has none goes into
// the one for all others, and its month can get none any more.
func TestPartitions(t *testing.T) {
	dsn := newDSN(t)
	log := openPostgreSQL(t, dsn)
	at := func(month time.Month) point.Event {
		event := sampleEvent(month.String())
		event.Time = time.Date(2028, month, 1, 0, 0, 0, 0, time.UTC)
		return event
	}
	for range 2 { // the second time all are there
		if all, err := log.MakePartitions(ctx, time.Date(2027, 12, 31, 23, 59, 59, 0, time.UTC)); !all || err != nil {
			t.Fatalf("MakePartitions = %v, %v, want all there", all, err)
		}
	}
	mustAppend(t, log, at(1), at(2), at(3), at(4))
	owner := connect(t, ownerDSN(dsn))
	for name, want := range map[string]int{"events_202712": 0, "events_202801": 1, "events_202802": 1, "events_other": 2, "events": 4} {
		var got int
		if err := owner.QueryRow("SELECT count(*) FROM " + name).Scan(&got); err != nil || got != want {
			t.Errorf("%s has %d rows, %v, want %d", name, got, err, want)
		}
	}
	if all, err := log.MakePartitions(ctx, time.Date(2028, 2, 29, 0, 0, 0, 0, time.UTC)); all || err != nil {
		t.Errorf("MakePartitions = %v, %v, want to be told that March has none", all, err)
	}
	if got := ids(t, log); got != "January February March April" {
		t.Errorf("the log has %q, want all in their order", got)
	}
}
