//go:build !race

package legallog

// tamperings is how many random changes must be found.
const tamperings = 10_000
