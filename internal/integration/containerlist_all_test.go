//go:build integration && containers

package integration

// allContainers: make containers asks for everything.
const allContainers = true
