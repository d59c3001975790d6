package main

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestParseStat(t *testing.T) {
	const line = "4711 (a) (b c) S 12 4711 4711 0 -1 4194560 900 0 0 0 30 20 7 3 20 0 1 0 100 1000 10 18446744073709551615\n"
	got, err := parseStat(line)
	if want := (process{4711, 12, 600 * time.Millisecond}); err != nil || got != want {
		t.Errorf("parseStat = %+v, %v, want %+v", got, err, want)
	}
	if _, err := parseStat("4711 (cut"); err == nil {
		t.Error("a line that is cut: no error")
	}
}

func TestTreeTime(t *testing.T) {
	all := []process{{1, 0, time.Hour}, {10, 1, 1}, {11, 10, 2}, {12, 11, 4}, {13, 1, 8}}
	if got := treeTime(all, 10); got != 7 {
		t.Errorf("treeTime = %d, want 7", got)
	}
}

func TestQueuePasses(t *testing.T) {
	const before = "Mar  2 10:00:00 mx postfix/qmgr[7]: 4A: from=<a@b>, size=9, nrcpt=1 (queue active)\n"
	const after = "Mar  2 10:00:01 mx postfix/qmgr[7]: 4B: from=<a@b>, size=9, nrcpt=1 (queue active)\n" +
		"Mar  2 10:00:01 mx postfix/lmtp[8]: 4B: to=<c@d>, status=deferred (later)\n" +
		"Mar  2 10:00:02 mx postfix/qmgr[7]: 4B: from=<a@b>, size=9, nrcpt=1 (queue active)\n" +
		"Mar  2 10:00:02 mx postfix/qmgr[7]: 4C: from=<>, size=9, nrcpt=1 (queue active)\n" +
		"Mar  2 10:00:02 mx postfix/qmgr[7]: 4B: removed\n"
	path := filepath.Join(t.TempDir(), "mail.log")
	if err := os.WriteFile(path, []byte(before+after), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := queuePasses(path, int64(len(before))); err != nil || got != 2 {
		t.Errorf("queuePasses = %d, %v, want 2: one that is tried again is one", got, err)
	}
}

func TestQuantile(t *testing.T) {
	for _, test := range []struct {
		values  []float64
		q, want float64
	}{
		{nil, 0.5, 0}, {[]float64{3}, 0.99, 3}, {[]float64{4, 1, 2}, 0.5, 2}, {[]float64{1, 2, 3, 4}, 0.5, 2.5}, {[]float64{1, 2}, 1, 2},
	} {
		if got := quantile(test.values, test.q); got != test.want {
			t.Errorf("quantile(%v, %v) = %v, want %v", test.values, test.q, got, test.want)
		}
	}
}

// TestRoofline: two passes at 500 a second are 4 ms, two signatures of 1 ms on two
// cores one more.
func TestRoofline(t *testing.T) {
	if got := roofline(2, 500, 2, 0.001, 2); math.Abs(got-200) > 1e-9 {
		t.Errorf("roofline = %v, want 200", got)
	}
}

// TestConclude: ratios are of the same round, so that a round of a busy machine
// does not count against anybody.
func TestConclude(t *testing.T) {
	r := results{
		Machine: machine{Cores: 2},
		Samples: []sample{
			{Round: 0, Variant: plain, Sessions: busy, Messages: 100, Seconds: 0.2, Passes: 1},
			{Round: 0, Variant: certified, Sessions: busy, Messages: 100, Seconds: 0.5, Passes: 2, Signatures: 2, CPU: map[string]float64{"pec-milter": 3}},
			{Round: 1, Variant: plain, Sessions: busy, Messages: 100, Seconds: 2, Passes: 1},
			{Round: 1, Variant: certified, Sessions: busy, Messages: 100, Seconds: 5, Passes: 2, Signatures: 2, CPU: map[string]float64{"pec-milter": 3}},
		},
		Signings: []signing{{Round: 0, Key: keyFile, Milliseconds: 1, CPU: 1}, {Round: 1, Key: keyFile, Milliseconds: 90, CPU: 10}},
	}
	r.conclude()
	got := r.rate(certified, busy)
	if got == nil || got.VsPlain.Median != 0.4 || math.Abs(got.OfRoofline.Lowest-1) > 1e-9 || math.Abs(got.OfRoofline.Highest-1) > 1e-9 {
		t.Fatalf("rate = %+v, want 0.4 of plain and all of the roofline in both rounds", got)
	}
	targets := r.targetRows()
	if want := "CPU time of pec-milter, of that of its signatures ≤ 1.50 0.27 reached"; len(targets) != 3 || strings.Join(targets[2], " ") != want {
		t.Errorf("targets = %q, want the last to be %q", targets, want)
	}
	for _, out := range []string{r.chart(), r.text()} {
		if strings.Contains(out, "%!") {
			t.Errorf("badly formatted: %s", out)
		}
	}
	for _, part := range []string{"pec-milter", "0.40", "</svg>"} {
		if !strings.Contains(r.chart(), part) {
			t.Errorf("the chart has no %q", part)
		}
	}
}

func TestBestOf(t *testing.T) {
	const lines = "{\"sessions\":1,\"signatures\":50,\"per_second\":80}\n{\"sessions\":2,\"signatures\":190,\"per_second\":95}\n{\"sessions\":4,\"signatures\":180,\"per_second\":90}\n"
	if got, err := bestOf([]byte(lines)); err != nil || got != (signing{Signatures: 190, Seconds: 2}) {
		t.Errorf("bestOf = %+v, %v, want the second line", got, err)
	}
	if _, err := bestOf(nil); err == nil {
		t.Error("nothing measured: no error")
	}
}

// TestSlowTokenBounds: a token of 100 signatures a second bounds messages of two
// signatures at 50 a second, whatever the machine can do.
func TestSlowTokenBounds(t *testing.T) {
	r := results{Machine: machine{Cores: 2}, Signings: []signing{
		{Key: softHSM, CPU: 0.5}, {Key: slowToken, Signatures: 200, Seconds: 2},
	}, Samples: []sample{
		{Variant: plain, Sessions: 20, Messages: 500, Seconds: 1},
		{Variant: withSlowToken, Sessions: 20, Messages: 48, Seconds: 1, Passes: 2, Signatures: 2},
	}}
	r.conclude()
	if got := r.rate(withSlowToken, 20).OfRoofline.Median; math.Abs(got-0.96) > 0.001 {
		t.Errorf("reached %v of what is possible, want 0.96", got)
	}
	if got := r.withSlowToken(); got == nil || !got.Reached {
		t.Errorf("target = %+v, want one that is reached", got)
	}
}
