//go:build integration

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// TestTiny runs the smallest measurement there is, so that "make bench" works
// whenever it is wanted. No time is judged; what a message costs in passes and
// signatures is.
func TestTiny(t *testing.T) {
	if os.Getuid() != 0 {
		skip(t, "only root can start a Postfix")
	}
	for _, program := range []string{"postfix", "dovecot", "openssl", "softhsm2-util", "gcc"} {
		if _, err := exec.LookPath(program); err != nil {
			skip(t, fmt.Sprintf("%v: contrib/debian/setup.sh installs it", err))
		}
	}
	repository, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	daemon, program, results := filepath.Join(dir, "pec-milter"), filepath.Join(dir, "bench"), filepath.Join(dir, "results")
	for _, command := range [][]string{
		{"go", "build", "-tags", "measured", "-o", daemon, "./cmd/pec-milter"},
		{"go", "build", "-o", program, "./internal/integration/bench"},
		{program, "-mode", "tiny", "-binary", daemon, "-results", results},
	} {
		cmd := exec.Command(command[0], command[1:]...)
		cmd.Dir = repository
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", command, err, out)
		}
	}
	for _, name := range []string{"results.txt", "results.svg"} {
		if info, err := os.Stat(filepath.Join(results, name)); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v, or empty", name, err)
		}
	}
	checkCosts(t, filepath.Join(results, "results.json"))
}

func checkCosts(t *testing.T, path string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var r results
	if err := json.Unmarshal(text, &r); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][2]float64{
		plain: {1, 0}, noop: {1, 0}, certified: {2, 2}, withSlowToken: {2, 2}, withoutLog: {2, 2}, roundTrip: {7, 4},
	} {
		got := r.rate(name, 2)
		if got == nil || got.Passes != want[0] || got.Signatures != want[1] || got.PerSecond.Median <= 0 {
			t.Errorf("%s: %+v, want %v passes and signatures a message", name, got, want)
		}
	}
	// A machine can make a token slower, but nothing makes this one faster.
	if got, most := r.tokenRate(0), float64(time.Second/slowSignature); got <= 0 || got > most {
		t.Errorf("the slow token makes %v signatures a second, want at most %v", got, most)
	}
	if len(r.Growth) == 0 || r.Peaks[local] == 0 {
		t.Errorf("no growth or no memory measured: %+v, %v", r.Growth, r.Peaks)
	}
}

// skip skips aloud; where CI is set, everything must be there.
func skip(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatal(why)
	}
	t.Skip(why)
}
