package legallog

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/pec-milter/pec-milter/internal/point"
)

const zeros = `"hash":"0000000000000000000000000000000000000000000000000000000000000000"}` + "\n"

var lines = []struct {
	name string
	row  Row
	want string
}{
	{"full", Row{Seq: 7, Node: "mx1", Event: sampleEvent("id@pec.example")}, `{"seq":7,"node":"mx1","time":"2026-03-29T00:59:59.123456Z","kind":"accepted",` +
		`"door":"access","queue_id":"4XyZ","id":"id@pec.example","reference":"<a&b@user.example>","notice":"accettazione","notice_id":"notice.id@pec.example",` +
		`"notice_to":"anna@pec.example","related":["cause@mta.example"],` +
		`"sender":"anna@pec.example","recipients":[{"address":"bruno@pec.example","kind":"certificato"},{"address":"c@d.example","kind":"esterno"}],` +
		`"reply_to":"anna@casa.example","subject":"Perché no?","provider":"Gestore S.p.A.","size":1234,"receipt_type":"breve","delivered":"bruno@pec.example",` +
		`"taken_for":["bruno@pec.example"],"error":"altro","error_detail":"5.1.1 - Gestore","virus":"Eicar","detail":"detail",` + zeros},
	{"bare", Row{Seq: 8, Node: "mx1", Event: point.Event{Time: t0, Kind: point.EventRefused}},
		`{"seq":8,"node":"mx1","time":"2026-03-29T00:59:59.123456Z","kind":"refused",` + zeros},
	{"line ends", Row{Seq: 9, Event: point.Event{Time: t0, Subject: "a\r\nb\u2028"}},
		`{"seq":9,"node":"","time":"2026-03-29T00:59:59.123456Z","kind":"","subject":"a\r\nb\u2028",` + zeros},
}

func TestLine(t *testing.T) {
	for _, test := range lines {
		t.Run(test.name, func(t *testing.T) {
			got, err := test.row.Line()
			if err != nil || string(got) != test.want {
				t.Fatalf("line of the row:\n got %q, %v\nwant %q", got, err, test.want)
			}
			row, err := ParseLine(got)
			if again, err2 := row.Line(); err != nil || err2 != nil || string(again) != test.want {
				t.Errorf("read and written again: %q, %v, %v", again, err, err2)
			}
		})
	}
}

func TestParseLineRefuses(t *testing.T) {
	good := lines[1].want
	for name, line := range map[string]string{
		"nothing":         "",
		"no JSON":         "seq 8\n",
		"no line feed":    strings.TrimSuffix(good, "\n"),
		"two lines":       good + good,
		"CRLF":            strings.Replace(good, "\n", "\r\n", 1),
		"space":           strings.Replace(good, ":8", ": 8", 1),
		"another order":   `{"node":"mx1","seq":8` + good[strings.Index(good, `,"time"`):],
		"twice":           strings.Replace(good, `"seq":8`, `"seq":7,"seq":8`, 1),
		"unknown field":   strings.Replace(good, `"kind"`, `"more":1,"kind"`, 1),
		"another zone":    strings.Replace(good, "00:59:59.123456Z", "01:59:59.123456+01:00", 1),
		"upper case hash": strings.Replace(good, "0000", "ABCD", 1),
		"long hash":       strings.Replace(good, "0000", "00000", 1),
		"no hash":         good[:strings.Index(good, `,"hash"`)] + "}\n",
		"empty field":     strings.Replace(good, `"kind"`, `"door":"","kind"`, 1),
	} {
		if row, err := ParseLine([]byte(line)); !errors.Is(err, ErrNotCanonical) {
			t.Errorf("%s: ParseLine(%q) = %+v, %v, want it refused", name, line, row, err)
		}
	}
}

// The hash is what somebody with a shell makes of the lines.
func TestNext(t *testing.T) {
	first := sha256.Sum256([]byte("chain mx1\n"))
	if First("mx1") != Hash(first) {
		t.Errorf("First = %v, want %x", First("mx1"), first)
	}
	line := strings.Replace(lines[1].want, ","+zeros, "}\n", 1)
	want := sha256.Sum256([]byte(hex.EncodeToString(first[:]) + " " + line))
	if got, err := Hash(first).Next(lines[1].row); err != nil || got != Hash(want) {
		t.Errorf("Next = %v, %v, want %x", got, err, want)
	}
}

// What is in the database gives the very line that was hashed: also of text that
// is not kept as it came.
func testChain(t *testing.T, log *Log) {
	hostile := sampleEvent("a\x00\xFF\xFE\u2028<>&\\\"")
	hostile.Time = hostile.Time.Add(999)
	hostile.Recipients[0].Address, hostile.TakenFor, hostile.Related = "\xFF\x00@b", []string{"\xE8\xFF"}, []string{}
	for range 3 {
		mustAppend(t, log, hostile, sampleEvent("two"), point.Event{Time: t0})
	}
	hash := First("one")
	for n, row := range readAll(t, log, Filter{}) {
		var err error
		if hash, err = hash.Next(row); err != nil || row.Hash != hash || row.Node != "one" || row.Seq != int64(n+1) {
			t.Errorf("row %d of %s has hash %v, %v, want %v", row.Seq, row.Node, row.Hash, err, hash)
		}
	}
	if head, err := log.Head(ctx); err != nil || head != (Head{"one", 9, hash}) {
		t.Errorf("Head = %+v, %v, want row 9 with hash %v", head, err, hash)
	}
}

// Case IN-10: SQL in any text of a row is text, in the database, in its line, and
// read back from that.
func TestLineOfSQL(t *testing.T) {
	log := openFile(t, filepath.Join(t.TempDir(), "log.db"))
	const hostile = `'); DROP TABLE events; -- "x" $1 ? \' %_`
	event := sampleEvent(hostile)
	event.Subject, event.Sender, event.Virus, event.ErrorDetail, event.TakenFor = hostile, hostile, hostile, hostile, []string{hostile}
	mustAppend(t, log, event)
	rows := readAll(t, log, Filter{ID: hostile})
	if len(rows) != 1 {
		t.Fatalf("%d rows, want 1", len(rows))
	}
	line, err := rows[0].Line()
	if err != nil {
		t.Fatal(err)
	}
	if read, err := ParseLine(line); err != nil || !reflect.DeepEqual(read.Event, event) {
		t.Errorf("read back %+v, %v, want %+v", read.Event, err, event)
	}
}
