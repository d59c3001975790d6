package doctor

import (
	"os"
	"syscall"
	"time"
)

// kernelClock is what the kernel knows of its clock, adjtimex(2). ok is false
// where it does not tell.
func kernelClock() (clockState, bool) {
	const unsynchronised, failed = 0x0040, 5 // STA_UNSYNC; TIME_ERROR
	var t syscall.Timex
	state, err := syscall.Adjtimex(&t)
	if err != nil {
		return clockState{}, false
	}
	return clockState{
		synchronised: t.Status&unsynchronised == 0 && state != failed,
		maxError:     time.Duration(t.Maxerror) * time.Microsecond,
		container:    inContainer(),
	}, true
}

// inContainer: the marks of Podman, Docker and systemd.
func inContainer() bool {
	for _, mark := range []string{"/run/.containerenv", "/.dockerenv", "/run/systemd/container"} {
		if _, err := os.Stat(mark); err == nil {
			return true
		}
	}
	return false
}
