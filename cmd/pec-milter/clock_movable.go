//go:build movableclock

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/pec-milter/pec-milter/internal/point"
)

// timerPeriod is how often the timer works: tests that move the clock do not
// want to wait.
const timerPeriod = time.Second

// clockFile is the environment variable that names the file which moves the
// clock.
const clockFile = "PEC_MILTER_CLOCK"

// clock is the machine's clock, moved by the duration ("12h1m") that the file
// has at the time of each call. A file that is empty, or not there, moves
// nothing; replace it by renaming, so that no call sees it half written.
//
// This exists in test builds only. The dates of notices and of the legal log are
// evidence: the clock of a daemon in production must not be movable by whoever
// can write a file or set its environment.
func clock() point.Clock {
	path := os.Getenv(clockFile)
	return func() time.Time { return time.Now().Add(shift(path)) }
}

// shift panics where it cannot tell: a test must not go on with a clock that it
// did not ask for.
func shift(path string) time.Duration {
	content, err := os.ReadFile(path)
	text := strings.TrimSpace(string(content))
	if errors.Is(err, fs.ErrNotExist) || err == nil && text == "" {
		return 0
	}
	if err != nil {
		panic(fmt.Sprintf("%s: %v", clockFile, err))
	}
	by, err := time.ParseDuration(text)
	if err != nil {
		panic(fmt.Sprintf("%s: %s: %v", clockFile, path, err))
	}
	return by
}
