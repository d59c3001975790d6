//go:build !measured

package main

import "github.com/pec-milter/pec-milter/internal/point"

// serveMeasurements measures nothing: this is a daemon that serves mail.
func serveMeasurements(*point.Provider) error { return nil }
