//go:build !race

package legallog

// tamperings is how many random changes must be found.
const tamperings = 10_000

// largeByDefault is how many rows the large logs have.
const largeByDefault = 100_000
