//go:build !movableclock

package main

import (
	"time"

	clockwatch "github.com/pec-milter/pec-milter/internal/clock"
	"github.com/pec-milter/pec-milter/internal/point"
)

// timerPeriod is how often the timer works.
const timerPeriod = time.Minute

// clock is the daemon's one clock: the machine's.
func clock() point.Clock { return time.Now }

// readClock says how good that clock is.
func readClock() (clockwatch.Reading, error) { return clockwatch.Read() }
