//go:build integration

package integration

import (
	"errors"
	"maps"
	"testing"

	"github.com/pec-milter/pec-milter/internal/point"
	"github.com/pec-milter/pec-milter/pec"
)

// TestOracleBites: the oracle of TestFaults finds what it is there for.
func TestOracleBites(t *testing.T) {
	w := &World{}
	w.Providers = []*Provider{newProvider(newSite(w, "alfa", false)), newProvider(newSite(w, "beta", false))}
	w.Ordinary = newSite(w, "ordinary", true)
	const r, c, o = "r@beta.example", "c@alfa.example", "o@ordinary.example"
	owed := standard(w, []string{r, c, o})
	envelope := func(box string) item { return item{box, pec.Envelope, "alfa.example"} }
	whole := found{
		{"sender", pec.Acceptance, "alfa.example"}: 1, envelope(r): 1, envelope(c): 1, envelope(o): 1,
		{"sender", pec.Delivery, "alfa.example"}: 1, {"sender", pec.Delivery, "beta.example"}: 1,
		{"service", pec.ServerAcceptance, "alfa.example"}: 1, {"service", pec.ServerAcceptance, "beta.example"}: 1,
	}
	accepted := letter{accepted: true}
	for _, test := range []struct {
		name   string
		letter letter
		change found  // 0: not there
		want   [6]int // lost, notice without, without notice, double, foreign, wrong
	}{
		{"all well", accepted, nil, [6]int{}},
		{"not told 250, but whole", letter{}, nil, [6]int{}},
		{"refused for good", letter{refused: errors.New("554")}, nil, [6]int{5: 1}},
		{"lost at the peer, and told delivered", accepted, found{envelope(r): 0}, [6]int{1, 1}},
		{"lost at the ordinary domain", accepted, found{envelope(o): 0}, [6]int{1}},
		{"not told 250, and not whole", letter{}, found{envelope(o): 0}, [6]int{1}},
		{"envelope twice", accepted, found{envelope(c): 2}, [6]int{3: 1}},
		{"ordinary copy twice", accepted, found{envelope(o): 2}, [6]int{4: 1}},
		{"acceptance missing", accepted, found{{"sender", pec.Acceptance, "alfa.example"}: 0}, [6]int{2: 1}},
		{"acceptance twice", accepted, found{{"sender", pec.Acceptance, "alfa.example"}: 2}, [6]int{3: 1}},
		{"receipt of the peer twice", accepted, found{{"sender", pec.Delivery, "beta.example"}: 2}, [6]int{1: 1, 3: 1}},
		{"presa in carico missing", accepted, found{{"service", pec.ServerAcceptance, "beta.example"}: 0}, [6]int{2: 1}},
		{"notice that is not owed", accepted, found{{"sender", pec.TimeoutNotice, "alfa.example"}: 1}, [6]int{5: 1}},
	} {
		t.Run(test.name, func(t *testing.T) {
			there := maps.Clone(whole)
			maps.Copy(there, test.change)
			maps.DeleteFunc(there, func(_ item, n int) bool { return n == 0 })
			got := tally{}
			got.letter(&test.letter, there, owed)
			counts := [6]int{got.lost, got.noticeWithoutMessage, got.messageWithoutNotice, got.double, got.foreignDouble, got.wrong}
			if counts != test.want {
				t.Errorf("counted %v, want %v: %v", counts, test.want, got.told)
			}
		})
	}
	t.Run("only notices", func(t *testing.T) {
		got := tally{}
		got.letter(&letter{}, found{{"sender", pec.Acceptance, "alfa.example"}: 1}, owed)
		if got.noticeWithoutMessage != 1 || got.lost != 3 {
			t.Errorf("counted %+v, want 1 notice without message, 3 lost", got)
		}
	})
	t.Run("nothing, and told 250", func(t *testing.T) {
		got := tally{}
		got.letter(&accepted, nil, owed)
		if got.lost != 3 || got.faultless() {
			t.Errorf("counted %+v, want 3 lost", got)
		}
	})
	t.Run("nothing, and not told 250", func(t *testing.T) {
		got := tally{}
		if got.letter(&letter{}, nil, owed); !got.faultless() {
			t.Errorf("counted %+v, want nothing", got)
		}
	})
}

// TestLogOrderBites: a result that was not announced, and an acceptance with
// another time.
func TestLogOrderBites(t *testing.T) {
	accepted := LogRow{Kind: point.EventAccepted}
	issuing := LogRow{Kind: point.EventIssuing, NoticeID: "n", Notice: pec.Acceptance}
	issued := issuing
	issued.Kind = point.EventIssued
	late := issued
	late.Time = late.Time.Add(1)
	for _, test := range []struct {
		name string
		rows []LogRow
		want int
	}{
		{"in order", []LogRow{accepted, issuing, issued}, 0},
		{"not announced", []LogRow{accepted, issued}, 1},
		{"another time", []LogRow{accepted, issuing, late}, 1},
		{"delivered", []LogRow{{Kind: point.EventDelivering, Delivered: "a"}, {Kind: point.EventDelivered, Delivered: "a"}}, 0},
		{"delivered to another", []LogRow{{Kind: point.EventDelivering, Delivered: "a"}, {Kind: point.EventDelivered, Delivered: "b"}}, 1},
	} {
		if got := outOfOrder(test.rows); len(got) != test.want {
			t.Errorf("%s: %q, want %d", test.name, got, test.want)
		}
	}
}
