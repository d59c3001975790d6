//go:build !movableclock

package main

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// What moves the clock of a test build does not move that of a daemon in
// production.
func TestClockCannotBeMoved(t *testing.T) {
	path := filepath.Join(t.TempDir(), "clock")
	if err := os.WriteFile(path, []byte("24h"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PEC_MILTER_CLOCK", path)
	if ahead := time.Until(clock()()); ahead.Abs() > time.Hour {
		t.Errorf("clock() is %v ahead, want 0", ahead)
	}
}
