//go:build race

package legallog

// tamperings is how many random changes must be found.
const tamperings = 500 // the race detector makes all ten times slower

// largeByDefault is how many rows the large logs have.
const largeByDefault = 10_000
