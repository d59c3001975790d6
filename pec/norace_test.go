//go:build !race

package pec_test

// slowdown is what the race detector makes of times: here it is off.
const slowdown = 1
