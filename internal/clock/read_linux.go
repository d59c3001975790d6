package clock

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// Read reads the kernel's clock (adjtimex(2), clock_gettime(2)). It needs no
// privilege.
func Read() (Reading, error) {
	var kernel unix.Timex
	if _, err := unix.Adjtimex(&kernel); err != nil {
		return Reading{}, fmt.Errorf("adjtimex: %w", err)
	}
	var boot, wall unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &boot); err != nil {
		return Reading{}, fmt.Errorf("CLOCK_BOOTTIME: %w", err)
	}
	if err := unix.ClockGettime(unix.CLOCK_REALTIME, &wall); err != nil {
		return Reading{}, fmt.Errorf("CLOCK_REALTIME: %w", err)
	}
	return Reading{
		Time: time.Unix(wall.Unix()),
		Boot: time.Duration(boot.Nano()),
		Kept: kernel.Status&unix.STA_UNSYNC == 0,
		// What the daemon still has to correct, and how sure it is.
		Error: offset(&kernel).Abs() + time.Duration(kernel.Esterror)*time.Microsecond,
	}, nil
}

func offset(kernel *unix.Timex) time.Duration {
	if kernel.Status&unix.STA_NANO != 0 {
		return time.Duration(kernel.Offset)
	}
	return time.Duration(kernel.Offset) * time.Microsecond
}
