//go:build movableclock

package main

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestMovableClock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "clock")
	t.Setenv(clockFile, path)
	now := clock()
	cases := []struct {
		name    string
		content []byte // nil: no file
		want    time.Duration
	}{
		{"no file", nil, 0},
		{"empty", []byte("\n"), 0},
		{"forward", []byte("12h1m\n"), 12*time.Hour + time.Minute},
		{"further", []byte("24h"), 24 * time.Hour},
		{"back", []byte("-24h"), -24 * time.Hour},
		{"jump", []byte("jump -24h"), -24 * time.Hour},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if c.content != nil {
				if err := os.WriteFile(path, c.content, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if got := time.Until(now()).Round(time.Minute); got != c.want {
				t.Errorf("clock is %v ahead, want %v", got, c.want)
			}
			seen := time.Duration(0) // by the watch
			if c.name == "jump" {
				seen = c.want
			}
			r, err := readClock()
			if got := time.Until(r.Time).Round(time.Minute); err != nil || got != seen || seen != 0 && r.Kept {
				t.Errorf("readClock() = %+v (%v), %v ahead, want %v", r, err, got, seen)
			}
		})
	}
}

func TestMovableClockWithoutFile(t *testing.T) {
	t.Setenv(clockFile, "")
	if got := time.Until(clock()()).Round(time.Minute); got != 0 {
		t.Errorf("clock is %v ahead, want 0", got)
	}
}

func TestMovableClockRefusesNonsense(t *testing.T) {
	path := filepath.Join(t.TempDir(), "clock")
	if err := os.WriteFile(path, []byte("noon"), 0o600); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if recover() == nil {
			t.Error("a clock moved by \"noon\" did not panic")
		}
	}()
	shift(path)
}
