//go:build !race

package milter

// slowdown is what the race detector makes of times; there is none.
const slowdown = 1
