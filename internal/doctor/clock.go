package doctor

import "time"

// maxClockError is what we ask of the clock: DM 2-11-2005 art. 9 allows a minute
// from UTC, providers promise a second.
const maxClockError = time.Second

// clockState is what the kernel knows of its clock.
type clockState struct {
	synchronised bool
	maxError     time.Duration
	container    bool // the kernel is another machine's
}

// Clock tells whether something keeps the machine's clock right.
func Clock() Finding { return judgeClock(kernelClock()) }

func judgeClock(c clockState, known bool) Finding {
	const check = "clock"
	const repair = "apt-get install chrony && chronyc waitsync 12 1"
	switch {
	case !known:
		return notChecked(check, "the kernel does not tell how good its clock is")
	case !c.synchronised && c.container:
		return notChecked(check, "the kernel's clock is not synchronised from inside this container: look at its host")
	case !c.synchronised:
		return bad(check, repair, "nothing synchronises it: the time of certified mail must be within a minute of UTC (DM 2-11-2005 art. 9)")
	case c.maxError > maxClockError:
		return bad(check, repair, "it may be wrong by %v, more than %v (DM 2-11-2005 art. 9)", c.maxError, maxClockError)
	}
	return good(check, "synchronised, wrong by at most %v", c.maxError)
}
