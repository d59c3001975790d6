package main

import (
	"runtime/debug"
	"testing"
	"time"
)

func TestMemoryLimit(t *testing.T) {
	for live, want := range map[int64]int64{0: memoryFloor, 1 << 20: memoryFloor, memoryFloor: memoryFloor * 2, 1 << 30: 3<<29 + memoryFloor/2} {
		if got := memoryLimit(live); got != want {
			t.Errorf("memoryLimit(%d) = %d, want %d", live, got, want)
		}
	}
}

// TestBoundMemory: the collector is told. What that makes of the memory, make bench
// measures: on a busy machine the collector comes too late for any bound.
func TestBoundMemory(t *testing.T) {
	t.Setenv("GOGC", "")
	t.Setenv("GOMEMLIMIT", "")
	percent, limit := debug.SetGCPercent(100), debug.SetMemoryLimit(-1)
	defer debug.SetGCPercent(percent)
	defer debug.SetMemoryLimit(limit)
	defer boundMemory(t.Context())()
	if got := debug.SetGCPercent(garbageGrowth); got != garbageGrowth {
		t.Errorf("the collector waits for %d percent of growth, want %d", got, garbageGrowth)
	}
	for start := time.Now(); debug.SetMemoryLimit(-1) == limit; time.Sleep(10 * time.Millisecond) {
		if time.Since(start) > time.Minute {
			t.Fatal("the collector has no bound after a minute")
		}
	}
}

// TestBoundMemoryOfOperator: who sets one of the two decides.
func TestBoundMemoryOfOperator(t *testing.T) {
	for _, name := range []string{"GOGC", "GOMEMLIMIT"} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("GOGC", "")
			t.Setenv("GOMEMLIMIT", "")
			t.Setenv(name, "100")
			percent := debug.SetGCPercent(77)
			defer boundMemory(t.Context())()
			if got := debug.SetGCPercent(percent); got != 77 {
				t.Errorf("the collector waits for %d percent of growth, want the operator's 77", got)
			}
		})
	}
}
