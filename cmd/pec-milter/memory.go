package main

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// The collector of garbage is told a bound besides its proportion: without one, memory
// grows when large messages come.
const (
	memoryFloor   = 16 << 20 // bytes of the Go runtime, at least
	garbageGrowth = 100      // percent, the usual; below the bound
	memoryPeriod  = time.Second
)

// boundMemory tells the collector its bound, and again when more is in use: a bound
// below that would have it run all the time. Who sets GOGC or GOMEMLIMIT decides.
func boundMemory(ctx context.Context) (stop func()) {
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		return func() {}
	}
	debug.SetGCPercent(garbageGrowth)
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	adapt := func(context.Context) {
		metrics.Read(live)
		debug.SetMemoryLimit(memoryLimit(int64(live[0].Value.Uint64())))
	}
	return every(ctx, memoryPeriod, adapt)
}

// memoryLimit is the bound while so many bytes of the heap are in use.
func memoryLimit(live int64) int64 { return max(memoryFloor, memoryFloor/2+live+live/2) }
