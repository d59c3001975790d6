//go:build race

package milter

// slowdown is what the race detector makes of times.
const slowdown = 20
