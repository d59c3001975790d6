//go:build integration && !nodes

package integration

// allNodes: only the rows that take less than a minute together.
const allNodes = false
