package spool

import (
	"fmt"
	"os"
	"sync/atomic"
)

// Room is the disk that the bodies of one door share. Its zero value is the
// system's directory for temporary files, without bounds; so is a nil Room. The
// fields are set before the first use.
type Room struct {
	// Directory takes the files of large bodies; empty: the system's directory
	// for temporary files.
	Directory string
	// Total is the most bytes that all bodies may have together, those in memory
	// included; zero: no bound.
	Total int64
	// Free is the number of bytes that stay free on the file system of Directory:
	// others write there too. Zero: all may be used.
	Free int64

	used       atomic.Int64
	remembered atomic.Int64 // of these, in memory
}

// maxRemembered is the most bytes that the small bodies of a room have in memory
// together; what comes when they are there already goes into a file.
const maxRemembered = 16 << 20

// FullError says that a body is not taken for now: the room is full.
type FullError struct {
	Directory string
	Setting   string // which bound: "mta.max_spool" or "mta.min_free"
	Bound     int64  // bytes
	Have      int64  // bytes: used by bodies, or free on the disk
}

// Error names the setting, and what to do.
func (e *FullError) Error() string {
	have := "used by messages under way"
	if e.Setting == minFree {
		have = "free"
	}
	return fmt.Sprintf("spool %s is full: %d bytes are %s, %s is %d; make room on the disk, or change the setting",
		e.Directory, e.Have, have, e.Setting, e.Bound)
}

// The settings that bound a room, as the operator knows them.
const (
	maxSpool = "mta.max_spool"
	minFree  = "mta.min_free"
)

// Used is the number of bytes that the bodies have now.
func (r *Room) Used() int64 {
	if r == nil {
		return 0
	}
	return r.used.Load()
}

// take takes room for the next bytes of a body, or gives a *FullError.
func (r *Room) take(n int64) error {
	if r == nil {
		return nil
	}
	if used := r.used.Add(n); r.Total > 0 && used > r.Total {
		r.used.Add(-n)
		return &FullError{r.directory(), maxSpool, r.Total, used - n}
	}
	return nil
}

// remember tells whether a body may have n bytes more in memory, and counts them.
func (r *Room) remember(n int64) bool {
	if r == nil || r.remembered.Add(n) <= maxRemembered {
		return true
	}
	r.remembered.Add(-n)
	return false
}

// forget counts what a body no longer has in memory.
func (r *Room) forget(n int64) {
	if r != nil {
		r.remembered.Add(-n)
	}
}

func (r *Room) giveBack(n int64) {
	if r != nil {
		r.used.Add(-n)
	}
}

// mayWrite tells whether the disk has room for n bytes more, or gives a
// *FullError. Where the system does not tell what is free, the disk does by its
// own error.
func (r *Room) mayWrite(n int64) error {
	if r == nil || r.Free == 0 {
		return nil
	}
	free, err := freeBytes(r.directory())
	if err != nil {
		return fmt.Errorf("looking how much of the spool's disk is free: %w", err)
	}
	if free-n < r.Free {
		return &FullError{r.directory(), minFree, r.Free, free}
	}
	return nil
}

func (r *Room) directory() string {
	if r == nil || r.Directory == "" {
		return os.TempDir()
	}
	return r.Directory
}
