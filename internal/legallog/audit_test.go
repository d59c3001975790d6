package legallog

import (
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pec-milter/pec-milter/internal/point"
	"github.com/pec-milter/pec-milter/pec"
)

// TestAudit breaks a good log in each way: every rule is told.
func TestAudit(t *testing.T) {
	const a, b, o = "a@b.example", "c@b.example", "o@example.org"
	base := point.Event{ID: "x@pec.example", Sender: "s@pec.example", Recipients: []pec.Recipient{
		{Address: a, Kind: pec.Certified}, {Address: b, Kind: pec.Certified}, {Address: o, Kind: pec.Ordinary}}}
	count := 0
	row := func(kind point.EventKind, notice pec.Kind, delivered string, taken ...string) point.Event {
		e := base
		count++
		e.Kind, e.Notice, e.Delivered, e.TakenFor, e.NoticeID = kind, notice, delivered, taken, fmt.Sprint(count)
		return e
	}
	good := []point.Event{
		row(point.EventAccepted, "", ""),
		row(point.EventIssued, pec.Acceptance, ""),
		row(point.EventIssued, pec.ServerAcceptance, "", a),
		row(point.EventNotification, pec.ServerAcceptance, "", b),
		row(point.EventIssued, pec.Delivery, a),
		row(point.EventNotification, pec.NonDelivery, b),
	}
	without := func(n int) []point.Event { return slices.Delete(slices.Clone(good), n, n+1) }
	with := func(extra ...point.Event) []point.Event { return append(slices.Clone(good), extra...) }
	stranger := row(point.EventDelivered, "", "")
	stranger.Sender = "other@pec.example"
	again := row(point.EventAccepted, "", "")
	again.Detail = "recorded again from the message in the queue"
	for _, c := range []struct {
		name string
		rows []point.Event
		want string // part of a breach; empty: none
	}{
		{"recorded again", append(without(0), again), ""},
		{"recorded again, and the first row came back", with(again), ""},
		{"recorded again, and two more", with(again, good[0]), "accepted 2 times"},
		{"good", good, ""},
		{"the same notice logged twice", with(good[4]), ""},
		{"no acceptance", without(1), "0 accettazione, want 1"},
		{"two acceptances", with(row(point.EventIssued, pec.Acceptance, "")), "2 accettazione, want 1"},
		{"not taken charge of", without(3), "c@b.example: 0 prese in carico"},
		{"taken charge of twice", with(row(point.EventNotification, pec.ServerAcceptance, "", b)), "c@b.example: 2 prese in carico"},
		{"not delivered", without(4), "a@b.example: 0 consegne"},
		{"delivered and failed", with(row(point.EventIssued, pec.NonDelivery, a)), "a@b.example: 2 consegne"},
		{"notice for an ordinary recipient", with(row(point.EventIssued, pec.Delivery, o)), "ordinary recipient"},
		{"another sender", with(stranger), "rows differ"},
		{"two envelopes", with(row(point.EventAccepted, "", "")), "accepted 2 times"},
		{"none", without(0), "accepted 0 times"},
		{"virus without failure", append(without(5), row(point.EventNotification, pec.VirusDetection, b)), "c@b.example: 0 consegne"},
		{"bounced on the way to its provider", []point.Event{
			good[0], good[1], good[2], row(point.EventDelivering, "", a), good[4], row(point.EventIssued, pec.NonDelivery, b)}, ""},
		{"bounced, and taken charge of", append(without(5), row(point.EventIssued, pec.NonDelivery, b)), "c@b.example: 1 prese in carico, want 0"},
		{"failed in our own mailbox, not taken charge of", []point.Event{
			good[0], good[1], row(point.EventDelivering, "", a), row(point.EventIssued, pec.NonDelivery, a), good[3], good[5]}, "a@b.example: 0 prese in carico, want 1"},
		{"virus told of, not taken charge of", []point.Event{
			good[0], good[1], good[2], good[4], row(point.EventNotification, pec.VirusDetection, b), row(point.EventIssued, pec.NonDelivery, b)},
			"c@b.example: 0 prese in carico, want 1"},
		{"theirs, for one of ours", []point.Event{
			row(point.EventReceived, "", ""), row(point.EventIssued, pec.ServerAcceptance, "", b), row(point.EventIssued, pec.Delivery, b)}, ""},
		{"theirs, infected", []point.Event{
			row(point.EventReceived, "", ""), row(point.EventIssued, pec.ServerAcceptance, "", b), row(point.EventIssued, pec.VirusDetection, b)}, ""},
		{"theirs, infected and delivered", []point.Event{
			row(point.EventReceived, "", ""), row(point.EventIssued, pec.ServerAcceptance, "", b),
			row(point.EventIssued, pec.VirusDetection, b), row(point.EventIssued, pec.Delivery, b)}, "infected, but delivered"},
		{"theirs, delivered but not taken", []point.Event{row(point.EventReceived, "", ""), row(point.EventIssued, pec.Delivery, b)}, "not taken charge of"},
		{"refused", []point.Event{row(point.EventRefused, "", ""), row(point.EventIssued, pec.NonAcceptance, "")}, ""},
		{"refused and accepted", with(row(point.EventRefused, "", "")), "refused, and accepted"},
	} {
		t.Run(c.name, func(t *testing.T) {
			breaches := breachesOf(t, &Audit{}, func(yield func(Row, error) bool) {
				for n, e := range c.rows {
					if !yield(Row{Seq: int64(n), Event: e}, nil) {
						return
					}
				}
			})
			got := fmt.Sprint(breaches)
			if (len(breaches) == 0) != (c.want == "") || !strings.Contains(got, c.want) {
				t.Errorf("got %v, want %q", got, c.want)
			}
		})
	}
}

func breachesOf(t testing.TB, a *Audit, rows iter.Seq2[Row, error]) (found []Breach) {
	t.Helper()
	for b, err := range a.Breaches(rows) {
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, b)
	}
	return found
}

// testAuditOfDays: messages are judged by the day on which they came, with all their
// rows, whenever those came.
func testAuditOfDays(t *testing.T, log *Log) {
	const day = 24 * time.Hour
	message := func(id string, at time.Time, ended time.Duration) (rows []point.Event) {
		e := point.Event{Time: at, Kind: point.EventAccepted, ID: id, Sender: "s@x.example",
			Recipients: []pec.Recipient{{Address: "r@y.example", Kind: pec.Certified}}}
		rows = append(rows, e)
		e.Kind, e.Notice, e.NoticeID = point.EventIssued, pec.Acceptance, "a"+id
		rows = append(rows, e)
		e.Kind, e.Notice, e.NoticeID, e.TakenFor = point.EventNotification, pec.ServerAcceptance, "p"+id, []string{"r@y.example"}
		rows = append(rows, e)
		e.Notice, e.NoticeID, e.TakenFor, e.Delivered, e.Time = pec.Delivery, "c"+id, nil, "r@y.example", at.Add(ended)
		return append(rows, e)
	}
	whole, slow, lost := message("whole", t0, 0), message("slow", t0.Add(day), 9*day), message("lost", t0.Add(2*day), 0)
	mustAppend(t, log, whole...)
	mustAppend(t, log, slow[:3]...)
	mustAppend(t, log, lost[:3]...)
	mustAppend(t, log, message("later", t0.Add(8*day), 0)...)
	mustAppend(t, log, slow[3])
	mustAppend(t, log, message("orphan", t0.Add(10*day), 0)[1:]...)
	for _, c := range []struct {
		from, to time.Time
		want     []string
	}{
		{time.Time{}, time.Time{}, []string{"lost", "orphan"}},
		{t0, t0.Add(day), nil},
		{t0.Add(day), t0.Add(2 * day), nil},
		{t0.Add(2 * day), t0.Add(3 * day), []string{"lost"}},
		{time.Time{}, t0.Add(2 * day), nil},
		{time.Time{}, t0.Add(3 * day), []string{"lost"}},
		{t0.Add(4 * day), time.Time{}, []string{"orphan"}},
		{t0.Add(90 * day), time.Time{}, nil},
	} {
		var got []string
		for b, err := range log.Breaches(ctx, c.from, c.to, nil) {
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Contains(got, b.ID) {
				got = append(got, b.ID)
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("from %v to %v: breaches in %v, want %v", c.from, c.to, got, c.want)
		}
	}
}
