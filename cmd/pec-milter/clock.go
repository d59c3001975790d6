//go:build !movableclock

package main

import (
	"time"

	"github.com/pec-milter/pec-milter/internal/point"
)

// timerPeriod is how often the timer works.
const timerPeriod = time.Minute

// clock is the daemon's one clock: the machine's.
func clock() point.Clock { return time.Now }
