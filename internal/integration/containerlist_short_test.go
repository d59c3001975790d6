//go:build integration && !containers

package integration

// allContainers: only what fits into make test.
const allContainers = false
