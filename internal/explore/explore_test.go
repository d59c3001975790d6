package explore

import (
	"crypto/rand"
	"flag"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
)

// How far TestExplore goes. The defaults are for every run of the tests, with
// the race detector; "make explore" goes as far as there is time for.
var (
	faults   = flag.Int("faults", 0, "how many things go wrong in an execution, at the most")
	attempts = flag.Int("attempts", 2, "how often a client tries, at the most")
	inWhich  = flag.String("order", string(inOrder), "in which order an MTA works on its queue")
)

// TestExplore looks at all executions of each scenario.
func TestExplore(t *testing.T) {
	for _, s := range newScenarios(t) {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			begun := time.Now()
			report := s.explore(Bounds{Faults: *faults, Attempts: *attempts, Order: order(*inWhich)})
			t.Logf("up to %d faults: %d worlds, %d executions of an action in %v", *faults, report.Worlds, report.Runs, time.Since(begun).Round(time.Millisecond))
			for _, what := range slices.Sorted(maps.Keys(report.Faults)) {
				t.Logf("%8d  %s", report.Faults[what], what)
			}
			for _, v := range report.Violations {
				t.Error(v)
			}
		})
	}
}

func newScenarios(t *testing.T) []*scenario {
	t.Helper()
	p, err := newParties(epoch, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return p.scenarios()
}

// TestWholeWorlds: what is forgotten, and put first, to have fewer worlds makes no
// difference to how it all ends.
func TestWholeWorlds(t *testing.T) {
	for _, s := range newScenarios(t) {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			b := Bounds{Faults: min(*faults, 1), Attempts: *attempts, Order: inOrder}
			fewer := s.explore(b)
			b.Whole = true
			whole := s.explore(b)
			t.Logf("%d worlds, %d whole ones, %d ends", fewer.Worlds, whole.Worlds, len(whole.Ends))
			if !maps.Equal(fewer.Ends, whole.Ends) {
				t.Errorf("ends and their faults = %v, in whole worlds %v", fewer.Ends, whole.Ends)
			}
		})
	}
}

// TestBites: with the acceptance injected at the end of the message, as it was
// done before there was an outbox, notices without their message are found.
func TestBites(t *testing.T) {
	s := newScenarios(t)[0]
	s.eager = true
	report := s.explore(Bounds{Faults: 1, Attempts: 1})
	want := "accettazione without its message"
	if !slices.ContainsFunc(report.Violations, func(v string) bool { return strings.Contains(v, want) }) {
		t.Errorf("got %q, want %q among them", report.Violations, want)
	}
}
