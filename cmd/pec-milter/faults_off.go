//go:build !faults

package main

import "log/slog"

// injectFaults injects nothing: this is a daemon that serves mail.
func injectFaults(*services, sockets, *slog.Logger) error { return nil }
