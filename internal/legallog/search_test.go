package legallog

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pec-milter/pec-milter/internal/point"
	"github.com/pec-milter/pec-milter/pec"
)

// randomLog fills a log with the rows of messages that share senders, recipients,
// ids and days.
func randomLog(t *testing.T, log *Log, random *rand.Rand) []Row {
	t.Helper()
	address := func() string {
		return fmt.Sprintf("%c@%c.example", "abAB"[random.IntN(4)], "xyX"[random.IntN(3)])
	}
	for range 60 {
		var events []point.Event
		for range 10 {
			e := point.Event{
				Time: t0.Add(time.Duration(random.IntN(60)) * 24 * time.Hour), Sender: address(),
				Kind: []point.EventKind{point.EventAccepted, point.EventReceived, point.EventAnomaly, point.EventRefused,
					point.EventIssued, point.EventNotification, point.EventDelivered}[random.IntN(7)],
				Subject: []string{"", "Verbale", "verbale d'ÈSAME", "Gara"}[random.IntN(4)],
			}
			for range 1 + random.IntN(3) {
				e.Recipients = append(e.Recipients, pec.Recipient{Address: address(), Kind: pec.Certified})
			}
			if n := random.IntN(70); n > 5 {
				e.ID, e.Reference = fmt.Sprintf("id%d@x.example", n), fmt.Sprintf("<ref%d@y.example>", n%40)
			}
			if e.Kind == point.EventIssued {
				e.Notice, e.NoticeID = pec.Delivery, fmt.Sprintf("notice%d@x.example", random.Uint64())
			}
			events = append(events, e)
		}
		mustAppend(t, log, events...)
	}
	return readAll(t, log, Filter{})
}

// bruteForce is what Search must find, by looking at every row.
func bruteForce(rows []Row, q Query) []int64 {
	var order []*Row
	for n := range rows {
		if introduces(&rows[n].Event) && q.matches(&rows[n]) {
			order = append(order, &rows[n])
		}
	}
	slices.SortStableFunc(order, func(a, b *Row) int { return a.Time.Compare(b.Time) })
	var found []int64
	seen := map[string]bool{}
	for _, in := range order {
		if in.ID == "" {
			if q.Kind == "" || string(in.Kind) == q.Kind || string(in.Notice) == q.Kind {
				found = append(found, in.Seq)
			}
			continue
		}
		if seen[in.ID] {
			continue
		}
		seen[in.ID] = true
		for _, row := range rows {
			if row.ID == in.ID && (q.Kind == "" || q.Kind == string(row.Kind) || q.Kind == string(row.Notice)) {
				found = append(found, row.Seq)
			}
		}
	}
	return found
}

func search(t testing.TB, log *Log, q Query) []int64 {
	t.Helper()
	var found []int64
	for message, err := range log.Search(ctx, q) {
		if err != nil {
			t.Fatalf("Search(%+v): %v", q, err)
		}
		for _, row := range message {
			found = append(found, row.Seq)
		}
	}
	return found
}

// testSearch compares what is found with what is there.
func testSearch(t *testing.T, log *Log) {
	random := rand.New(rand.NewPCG(1, 2))
	rows := randomLog(t, log, random)
	some := func(choices ...string) string { return choices[random.IntN(len(choices))] }
	total := 0
	for range 300 {
		q := Query{
			Sender: some("", "", "a@x.example", "B@y.EXAMPLE"), Recipient: some("", "", "b@x.example", "A@Y.example"),
			Domain: some("", "", "x.example", "Y.Example"), MessageID: some("", "", "", "<ref7@y.example>", "ref8@y.example"),
			Subject: some("", "", "verbale", "d'èsame"), Kind: some("", "", "issued", "avvenuta-consegna", "refused"),
		}
		if random.IntN(2) == 0 {
			q.From = t0.Add(time.Duration(random.IntN(30)) * 24 * time.Hour)
			q.To = q.From.Add(time.Duration(random.IntN(30)) * 24 * time.Hour)
		}
		got, want := search(t, log, q), bruteForce(rows, q)
		if !slices.Equal(got, want) {
			t.Fatalf("Search(%+v) gives rows %v, want %v", q, got, want)
		}
		total += len(got)
	}
	if total < 1000 {
		t.Errorf("only %d rows were found: the queries say nothing", total)
	}
	for _, row := range rows {
		if row.ID == "" || row.NoticeID == "" {
			continue
		}
		var all []int64
		for _, other := range rows {
			if other.ID == row.ID {
				all = append(all, other.Seq)
			}
		}
		for name, q := range map[string]Query{"id": {ID: row.ID}, "notice": {MessageID: "<" + row.NoticeID + ">"}} {
			if got := search(t, log, q); !slices.Equal(got, all) && name == "id" || !slices.Contains(got, row.Seq) {
				t.Fatalf("by %s: Search(%+v) gives rows %v, want %v", name, q, got, all)
			}
		}
	}
	if got := search(t, log, Query{ID: "nobody@x.example"}); got != nil {
		t.Errorf("an id that is not there gives rows %v", got)
	}
}

// TestSearchHostileText: IN-10, what is searched for is never part of a statement.
func TestSearchHostileText(t *testing.T) { testSearchHostile(t, openFile(t, t.TempDir()+"/log.db")) }

// testSearchHostile: nor does its length matter.
func testSearchHostile(t *testing.T, log *Log) {
	for n, s := range []string{"'; DROP TABLE events; --@x.example", "%@_.example", strings.Repeat("a", 20_000) + "@x.example", "a\x00b@\xff.example"} {
		e := sampleEvent(fmt.Sprint(n))
		e.QueueID, e.Sender, e.Reference, e.Subject = s, s, "<"+s+">", s
		mustAppend(t, log, e)
		kept := text(s)
		for name, q := range map[string]Query{"queue id": {QueueID: kept}, "sender": {Sender: kept}, "Message-ID": {MessageID: kept}, "subject": {Subject: kept}} {
			if got := search(t, log, q); len(got) != 1 {
				t.Errorf("by %s %.30q: rows %v, want one", name, kept, got)
			}
		}
	}
}

// A message is found though the row that brought it in has gone from the index's
// time, and one whose rows are gone is passed over.
func TestSearchPassesOverWhatIsGone(t *testing.T) {
	log := openFile(t, t.TempDir()+"/log.db")
	mustAppend(t, log, sampleEvent("one"), sampleEvent("two"))
	mustExec(t, log.db, "INSERT INTO search (term, time, seq) SELECT term, time, 77 FROM search WHERE seq = 1")
	if got := search(t, log, Query{Sender: "anna@pec.example"}); !slices.Equal(got, []int64{1, 2}) {
		t.Errorf("rows %v, want 1 and 2", got)
	}
}
