//go:build race

package pec_test

// slowdown is what the race detector makes of times.
const slowdown = 10
