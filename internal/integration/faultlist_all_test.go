//go:build integration && faults

package integration

// allFaults: make faults asks for all of them.
const allFaults = true
