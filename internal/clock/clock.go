// Package clock watches whether the machine's clock can be believed: providers
// keep it within a minute of UTC (DM 2-11-2005 art. 9). It does not set it; that
// is an NTP daemon's work.
//
// What can be known is this. The kernel says whether a daemon keeps the clock,
// and how wrong the daemon thinks it is. And a clock that is set (by hand, by a
// daemon, by the hypervisor) jumps against the time since boot, which nobody
// sets: the kernel then takes back its word that the clock is kept, until the
// daemon gives it again. A kernel that nobody keeps the clock of does not know
// how wrong it is: it says 16 s, always. That is an alarm and no reason to stop.
package clock

import (
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// Reading is what the machine says of its clock at one moment.
type Reading struct {
	Time time.Time // the clock itself
	// Boot is the time since boot, suspended time included: setting the clock
	// does not change it.
	Boot time.Duration
	// Kept tells whether a daemon keeps the clock (the kernel's STA_UNSYNC is
	// not set). Error is how wrong the clock is then, as the daemon thinks;
	// without a daemon it says nothing.
	Kept  bool
	Error time.Duration
}

// The bounds of the error.
const (
	alarmAbove = time.Second
	stopAbove  = time.Minute // DM 2-11-2005 art. 9
)

// state is what is thought of the clock.
type state int

const (
	good     state = iota
	unknown        // the machine does not tell
	unkept         // no daemon keeps it
	off            // more than a second, by its daemon
	disowned       // more than a minute off, or set by more and nobody vouches for it
)

// Watch looks at the clock. It is safe for concurrent use. A nil *Watch believes
// the clock.
type Watch struct {
	read func() (Reading, error)
	log  *slog.Logger

	mu       sync.Mutex
	state    state     // as it was told last
	believed time.Time // the clock at boot, by the last reading that was believed
	last     time.Time // the same by the last reading
}

// NewWatch makes a watch, which believes the clock as it is at its first look.
// read is Read, but for tests.
func NewWatch(read func() (Reading, error), log *slog.Logger) *Watch {
	return &Watch{read: read, log: log}
}

// Trouble looks at the clock and tells why nothing may be dated now: it is more
// than a minute wrong, or was set by more than that and nobody vouches for it
// yet. nil: it may. What has changed since the last look is logged. A look costs
// microseconds: it is taken for each message.
func (w *Watch) Trouble() error {
	if w == nil {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	r, err := w.read()
	if err != nil {
		w.tell(unknown, "error", err)
		return nil
	}
	jump := w.jump(r)
	s := judge(r, jump)
	w.tell(s, "kept", r.Kept, "off", r.Error, "set_by", jump)
	if s == disowned {
		return fmt.Errorf("the clock is not believed: it was set by %v, kept by a daemon: %t, off by %v", jump, r.Kept, r.Error)
	}
	return nil
}

func judge(r Reading, jump time.Duration) state {
	switch {
	case r.Kept && r.Error.Abs() > stopAbove, !r.Kept && jump.Abs() > stopAbove:
		return disowned
	case !r.Kept:
		return unkept
	case r.Error.Abs() > alarmAbove:
		return off
	}
	return good
}

// jump is by how much the clock was set since it was believed last. A reading
// that a daemon vouches for is believed, whatever was before.
func (w *Watch) jump(r Reading) time.Duration {
	atBoot := r.Time.Add(-r.Boot)
	if w.last.IsZero() {
		w.believed, w.last = atBoot, atBoot
	}
	if by := atBoot.Sub(w.last); by.Abs() > alarmAbove {
		w.log.Error("clock: it was set", "by", by, "to", r.Time)
	}
	w.last = atBoot
	jump := atBoot.Sub(w.believed)
	if r.Kept && r.Error.Abs() <= stopAbove {
		w.believed = atBoot
	}
	return jump
}

// tell logs a state when it begins.
func (w *Watch) tell(s state, what ...any) {
	if s == w.state {
		return
	}
	w.state = s
	log := w.log.With(what...)
	switch s {
	case good:
		log.Info("clock: good again")
	case unknown:
		log.Warn("clock: it cannot be watched")
	case unkept:
		log.Warn("clock: no daemon keeps it")
	case off:
		log.Error("clock: more than a second off, as its daemon says")
	case disowned:
		log.Error("clock: not believed, nothing is accepted until it is")
	}
}
