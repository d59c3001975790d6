package legallog

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pec-milter/pec-milter/internal/point"
	"github.com/pec-milter/pec-milter/pec"
)

func testEventRoundTrip(t *testing.T, log *Log) {
	full, bare := sampleEvent("one"), point.Event{Time: t0.In(time.FixedZone("", 7200)), Kind: point.EventRefused}
	mustAppend(t, log, full, bare)
	rows := readAll(t, log, Filter{})
	bare.Time = t0
	if len(rows) != 2 || !reflect.DeepEqual(rows[0].Event, full) || !reflect.DeepEqual(rows[1].Event, bare) {
		t.Errorf("the log has %+v, want %+v and %+v", rows, full, bare)
	}
	if rows[0].Seq <= 0 || rows[1].Seq <= rows[0].Seq {
		t.Errorf("numbers %d, %d, want them to rise from above 0", rows[0].Seq, rows[1].Seq)
	}
}

func testAppendAtomic(t *testing.T, log *Log) {
	if err := log.Append(ctx, sampleEvent("one"), point.Event{Kind: point.EventIssued}); err == nil {
		t.Error("an event without a time was taken, want an error")
	}
	if rows := readAll(t, log, Filter{}); len(rows) != 0 {
		t.Errorf("after a refused event the log has %+v, want nothing", rows)
	}
}

func testHostileText(t *testing.T, log *Log) {
	tests := []struct{ name, in, want string }{
		{"metacharacters", `'; DROP TABLE events; -- "x" $1 ? \' %_ ` + "`", `'; DROP TABLE events; -- "x" $1 ? \' %_ ` + "`"},
		{"line ends and tabs", "a\r\nb\tc\x01", "a\r\nb\tc\x01"},
		{"beyond ASCII", "Città 日本 🎉", "Città 日本 🎉"},
		{"NUL", "a\x00b", "a\uFFFDb"},
		{"no UTF-8", "a\xE8\xFFb", "a\uFFFDb"},
		{"long", strings.Repeat("à", 1<<20), strings.Repeat("à", 1<<20)},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			mustAppend(t, log, point.Event{Time: t0, Kind: point.EventIssued, ID: test.name, NoticeID: test.name + test.in, Subject: test.in})
			rows := readAll(t, log, Filter{ID: test.name})
			if len(rows) != 1 || rows[0].Subject != test.want {
				t.Errorf("subject %.80q came back in %.300v, want %.80q", test.in, rows, test.want)
			}
			if ok, err := log.Logged(ctx, point.EventIssued, test.name+test.in); !ok || err != nil {
				t.Errorf("Logged = %v, %v, want true", ok, err)
			}
		})
	}
}

func testLogged(t *testing.T, log *Log) {
	mustAppend(t, log, sampleEvent("one"), point.Event{Time: t0, Kind: point.EventRefused})
	tests := []struct {
		name   string
		kind   point.EventKind
		notice string
		want   bool
	}{
		{"there", point.EventAccepted, "notice.one", true},
		{"another kind", point.EventIssued, "notice.one", false},
		{"another notice", point.EventAccepted, "notice.two", false},
		{"no notice", point.EventRefused, "", false},
	}
	for _, test := range tests {
		if got, err := log.Logged(ctx, test.kind, test.notice); got != test.want || err != nil {
			t.Errorf("%s: Logged = %v, %v, want %v", test.name, got, err, test.want)
		}
	}
}

func testEnded(t *testing.T, log *Log) {
	delivered, undelivered := sampleEvent("one"), sampleEvent("two")
	delivered.Kind, undelivered.Kind = point.EventDelivered, point.EventUndelivered
	mustAppend(t, log, delivered, undelivered, sampleEvent("three"), point.Event{Time: t0, Kind: point.EventDelivered, QueueID: "4XyZ", Delivered: "bruno@pec.example"})
	tests := []struct {
		name                          string
		queueID, messageID, recipient string
		want                          bool
	}{
		{"by msgid", "4XyZ", "one", "bruno@pec.example", true},
		{"by notice", "4XyZ", "notice.one", "bruno@pec.example", true},
		{"not taken", "4XyZ", "two", "bruno@pec.example", true},
		{"accepted alone", "4XyZ", "three", "bruno@pec.example", false},
		{"another queue id", "4XyA", "one", "bruno@pec.example", false},
		{"another recipient", "4XyZ", "one", "anna@pec.example", false},
		{"no id", "4XyZ", "", "bruno@pec.example", false},
	}
	for _, test := range tests {
		if got, err := log.Ended(ctx, test.queueID, test.messageID, test.recipient); got != test.want || err != nil {
			t.Errorf("%s: Ended = %v, %v, want %v", test.name, got, err, test.want)
		}
	}
}

func testFailed(t *testing.T, log *Log) {
	issued, peers := point.EventIssued, point.EventNotification
	tests := []struct {
		name   string
		kind   point.EventKind
		notice pec.Kind
		detail string
		want   bool
	}{
		{"non-accettazione", issued, pec.NonAcceptance, "", true},
		{"our errore-consegna", issued, pec.NonDelivery, "5.1.1 - Gestore - indirizzo non valido", true},
		{"a peer's errore-consegna", peers, pec.NonDelivery, "5.2.2 - Altro - casella piena", true},
		{"errore-consegna about to leave", point.EventIssuing, pec.NonDelivery, "", true},
		{"24 h notice", issued, pec.TimeoutNotice, "5.4.1 - Gestore - il messaggio non è stato consegnato", true},
		{"12 h notice", issued, pec.TimeoutNotice, "4.4.1 - Gestore - non 5.4.1", false},
		{"12 h notice without a code", issued, pec.TimeoutNotice, "", false},
		{"accettazione", issued, pec.Acceptance, "", false},
		{"avvenuta-consegna", peers, pec.Delivery, "", false},
		{"errore-consegna in a mailbox", point.EventDelivered, pec.NonDelivery, "", false},
	}
	for _, test := range tests {
		mustAppend(t, log, point.Event{Time: t0, Kind: test.kind, ID: test.name, Notice: test.notice, ErrorDetail: test.detail},
			point.Event{Time: t0, Kind: issued, Notice: pec.NonDelivery}) // of no message at all
		if got, err := log.Failed(ctx, test.name); got != test.want || err != nil {
			t.Errorf("%s: Failed = %v, %v, want %v", test.name, got, err, test.want)
		}
	}
	if got, err := log.Failed(ctx, ""); got || err != nil {
		t.Errorf("without an id: Failed = %v, %v, want false", got, err)
	}
}

func testReading(t *testing.T, log *Log) {
	const n = 2*pageSize + 7
	events := make([]point.Event, n)
	for i := range events {
		events[i] = sampleEvent(fmt.Sprint("id", i%2))
	}
	mustAppend(t, log, events...)
	all := readAll(t, log, Filter{})
	if len(all) != n || !slices.IsSortedFunc(all, func(a, b Row) int { return int(a.Seq - b.Seq) }) {
		t.Fatalf("read %d rows, want %d in their order", len(all), n)
	}
	if got := readAll(t, log, Filter{ID: "id1"}); len(got) != n/2 || got[0].ID != "id1" {
		t.Errorf("by id: %d rows, want %d of id1", len(got), n/2)
	}
	if got := readAll(t, log, Filter{After: all[n-3].Seq}); !reflect.DeepEqual(got, all[n-2:]) {
		t.Errorf("after row %d: %d rows, want the last two", all[n-3].Seq, len(got))
	}
	if got := readAll(t, log, Filter{After: all[n-3].Seq, ID: "id0"}); len(got) != 1 {
		t.Errorf("after row %d by id: %d rows, want 1", all[n-3].Seq, len(got))
	}
	for range log.Events(ctx, Filter{}) {
		break // a reader may stop
	}
}

func testAppendOnly(t *testing.T, log *Log) {
	mustAppend(t, log, sampleEvent("one"), sampleEvent("two"))
	for _, statement := range []string{
		"UPDATE events SET subject = 'forged'",
		"DELETE FROM events",
		"DELETE FROM events WHERE id = 'one'",
	} {
		wantAppendOnly(t, log, statement)
	}
	for _, used := range []string{
		"INSERT INTO events (" + eventColumns + ") SELECT " + eventColumns + " FROM events WHERE id = 'one'",
		"INSERT INTO events SELECT * FROM events WHERE true ON CONFLICT (seq) DO UPDATE SET subject = 'forged'",
	} {
		if _, err := log.db.Exec(used); err == nil {
			t.Errorf("%s: no error, want a used number to be refused", used)
		}
	}
	rows := readAll(t, log, Filter{})
	if len(rows) != 2 || rows[0].Subject != sampleEvent("one").Subject || rows[1].ID != "two" {
		t.Errorf("after the attempts the log has %+v, want the two events as they were", rows)
	}
}

func wantAppendOnly(t *testing.T, log *Log, statement string) {
	t.Helper()
	_, err := log.db.Exec(statement)
	if err == nil || !strings.Contains(err.Error(), "append-only") && !strings.Contains(err.Error(), "permission denied") {
		t.Errorf("%s = %v, want it refused as append-only", statement, err)
	}
}
