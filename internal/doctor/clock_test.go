package doctor

import (
	"testing"
	"time"
)

func TestClock(t *testing.T) {
	cases := []struct {
		name   string
		clock  clockState
		known  bool
		result Result
		text   string
	}{
		{"kept", clockState{synchronised: true, maxError: 30 * time.Millisecond}, true, Good, "30ms"},
		{"kept, but badly", clockState{synchronised: true, maxError: 1500 * time.Millisecond}, true, Bad, "1.5s"},
		{"nobody keeps it", clockState{maxError: 16 * time.Second}, true, Bad, "nothing synchronises"},
		{"in a container", clockState{maxError: 16 * time.Second, container: true}, true, NotChecked, "host"},
		{"kept, in a container", clockState{synchronised: true, container: true}, true, Good, "synchronised"},
		{"no such call", clockState{}, false, NotChecked, "does not tell"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) { want(t, judgeClock(c.clock, c.known), c.result, c.text) })
	}
}

// TestClockOfThisMachine: whatever it says, it is one of the three.
func TestClockOfThisMachine(t *testing.T) {
	got := Clock()
	want(t, got, got.Result, "")
	if got.Result == "" || got.What == "" {
		t.Errorf("Clock() = %+v, want a result and why", got)
	}
}
