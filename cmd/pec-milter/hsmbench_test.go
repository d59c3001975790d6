package main

import (
	"slices"
	"testing"
	"time"
)

func TestCallersUpTo(t *testing.T) {
	for most, want := range map[int][]int{1: {1}, 2: {1, 2}, 6: {1, 2, 4, 6}, 16: {1, 2, 4, 8, 16}} {
		if got := callersUpTo(most); !slices.Equal(got, want) {
			t.Errorf("callersUpTo(%d) = %v, want %v", most, got, want)
		}
	}
}

func TestBenchedOf(t *testing.T) {
	var times []time.Duration
	for i := 100; i > 0; i-- {
		times = append(times, time.Duration(i)*time.Millisecond)
	}
	want := benched{Sessions: 4, Signatures: 100, PerSecond: 50, P50: 50, P99: 99}
	if got := benchedOf(times, 2*time.Second, 4); got != want {
		t.Errorf("benchedOf() = %+v, want %+v", got, want)
	}
}
