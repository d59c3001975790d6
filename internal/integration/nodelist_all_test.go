//go:build integration && nodes

package integration

// allNodes: make nodes asks for all rows.
const allNodes = true
