package state

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/pec-milter/pec-milter/internal/point"
)

// cluster is nodes that share a state, empty at first.
type cluster struct {
	node func(name string) point.State // starts a process of a node
	pass func(time.Duration)           // lets time pass
	// tick is how exactly the times above are kept: a state that lives by a clock
	// that nobody can stop needs one longer than the test takes.
	tick time.Duration
}

// testConformance is what every implementation must do. empty gives a cluster
// on a new state.
func testConformance(t *testing.T, empty func(*testing.T) *cluster) {
	tests := map[string]func(*testing.T, *cluster){
		"lease: one holder":                       testLeaseExclusive,
		"lease: taken over after its time":        testLeaseExpires,
		"lease: late release frees nothing":       testLateRelease,
		"lease: second release frees nothing":     testSecondRelease,
		"lease: one of many gets it":              testLeaseRace,
		"lease: one of many takes it over":        testTakeOverRace,
		"lease: without a time":                   testLeaseNoTime,
		"lease: release after the context's end":  testReleaseAfterContext,
		"restart: own node's leases are free":     testRestart,
		"restart: the dead process frees nothing": testZombie,
		"context ended before":                    testContextEnded,
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) { test(t, empty(t)) })
	}
}

var (
	ctx = context.Background()
	key = point.Key{7, 31: 7}
)

func mustLease(t *testing.T, s point.State, ttl time.Duration) (release func()) {
	t.Helper()
	release, ok, err := s.Lease(ctx, key, ttl)
	if !ok || err != nil || release == nil {
		t.Fatalf("Lease = %v, %v, want it taken", ok, err)
	}
	return release
}

func wantHeld(t *testing.T, s point.State, when string) {
	t.Helper()
	if release, ok, err := s.Lease(ctx, key, time.Minute); ok || err != nil || release != nil {
		t.Errorf("%s: Lease = %v, %v, want it held by another", when, ok, err)
	}
}

func testLeaseExclusive(t *testing.T, c *cluster) {
	a, b := c.node("a"), c.node("b")
	release := mustLease(t, a, time.Minute)
	wantHeld(t, b, "another node")
	wantHeld(t, a, "the same process")
	if other, ok, err := b.Lease(ctx, point.Key{8}, time.Minute); !ok || err != nil {
		t.Errorf("another key: Lease = %v, %v, want it taken", ok, err)
	} else {
		other()
	}
	release()
	mustLease(t, b, time.Minute)
	wantHeld(t, a, "after the release")
}

func testLeaseExpires(t *testing.T, c *cluster) {
	a, b := c.node("a"), c.node("b")
	mustLease(t, a, time.Minute)
	c.pass(time.Minute - c.tick)
	wantHeld(t, b, "just before its time")
	c.pass(c.tick)
	mustLease(t, b, time.Minute)
	wantHeld(t, a, "after it was taken over")
}

func testLateRelease(t *testing.T, c *cluster) {
	a, b := c.node("a"), c.node("b")
	for name, next := range map[string]point.State{"another node": b, "the same process": a} {
		late := mustLease(t, a, time.Minute)
		c.pass(time.Minute)
		release := mustLease(t, next, time.Minute)
		late()
		wantHeld(t, b, "taken over by "+name)
		release()
	}
}

func testSecondRelease(t *testing.T, c *cluster) {
	a := c.node("a")
	release := mustLease(t, a, time.Minute)
	release()
	mustLease(t, a, time.Minute)
	release()
	wantHeld(t, a, "after the second release")
}

// takers counts who of n gets the lease at once.
func takers(t *testing.T, nodes []point.State, n int) int {
	var mu sync.Mutex
	var wg sync.WaitGroup
	taken := 0
	for i := range n {
		wg.Go(func() {
			_, ok, err := nodes[i%len(nodes)].Lease(ctx, key, time.Minute)
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			if ok {
				taken++
			}
		})
	}
	wg.Wait()
	return taken
}

func testLeaseRace(t *testing.T, c *cluster) {
	if n := takers(t, []point.State{c.node("a"), c.node("b")}, 30); n != 1 {
		t.Errorf("%d hold the lease, want 1", n)
	}
}

func testTakeOverRace(t *testing.T, c *cluster) {
	nodes := []point.State{c.node("a"), c.node("b")}
	mustLease(t, nodes[0], time.Minute)
	c.pass(time.Hour)
	if n := takers(t, nodes, 30); n != 1 {
		t.Errorf("%d took the lease over, want 1", n)
	}
}

func testLeaseNoTime(t *testing.T, c *cluster) {
	for _, ttl := range []time.Duration{0, -time.Second} {
		if _, ok, err := c.node("a").Lease(ctx, key, ttl); ok || err == nil {
			t.Errorf("Lease for %v = %v, %v, want an error", ttl, ok, err)
		}
	}
}

func testReleaseAfterContext(t *testing.T, c *cluster) {
	a := c.node("a")
	short, cancel := context.WithCancel(ctx)
	release, ok, err := a.Lease(short, key, time.Minute)
	if !ok || err != nil {
		t.Fatalf("Lease = %v, %v, want it taken", ok, err)
	}
	cancel()
	release()
	mustLease(t, a, time.Minute)
}

func testRestart(t *testing.T, c *cluster) {
	mustLease(t, c.node("a"), time.Hour)
	b := c.node("b")
	wantHeld(t, b, "after the start of another node")
	again := c.node("a")
	mustLease(t, again, time.Hour)
	c.node("b")
	wantHeld(t, b, "after another restart of another node")
}

func testZombie(t *testing.T, c *cluster) {
	late := mustLease(t, c.node("a"), time.Hour)
	again := c.node("a")
	mustLease(t, again, time.Hour)
	late()
	wantHeld(t, again, "after the dead process released it")
}

func testContextEnded(t *testing.T, c *cluster) {
	a := c.node("a")
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if _, ok, err := a.Lease(ended, key, time.Minute); ok || !errors.Is(err, context.Canceled) {
		t.Errorf("Lease with an ended context: %v, %v, want %v", ok, err, context.Canceled)
	}
	mustLease(t, a, time.Minute)
}
