//go:build movableclock

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	clockwatch "github.com/pec-milter/pec-milter/internal/clock"
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
// "jump 1h" moves it as somebody does who sets the machine's clock: the watch
// sees it, and that no daemon keeps the clock then.
//
// This exists in test builds only. The dates of notices and of the legal log are
// evidence: the clock of a daemon in production must not be movable by whoever
// can write a file or set its environment.
func clock() point.Clock {
	path := os.Getenv(clockFile)
	return func() time.Time {
		by, _ := shift(path)
		return time.Now().Add(by)
	}
}

// readClock says how good the clock is, as if the machine's own were moved.
func readClock() (clockwatch.Reading, error) {
	r, err := clockwatch.Read()
	if by, jumped := shift(os.Getenv(clockFile)); jumped {
		r.Time, r.Kept = r.Time.Add(by), false
	}
	return r, err
}

// shift panics where it cannot tell: a test must not go on with a clock that it
// did not ask for.
func shift(path string) (by time.Duration, jumped bool) {
	content, err := os.ReadFile(path)
	text, jumped := strings.CutPrefix(strings.TrimSpace(string(content)), "jump ")
	if errors.Is(err, fs.ErrNotExist) || err == nil && text == "" {
		return 0, false
	}
	if err != nil {
		panic(fmt.Sprintf("%s: %v", clockFile, err))
	}
	by, err = time.ParseDuration(text)
	if err != nil {
		panic(fmt.Sprintf("%s: %s: %v", clockFile, path, err))
	}
	return by, jumped
}
