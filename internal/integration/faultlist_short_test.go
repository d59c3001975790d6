//go:build integration && !faults

package integration

// allFaults: only those that take less than a minute together.
const allFaults = false
