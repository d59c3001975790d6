package spool

import (
	"fmt"
	"syscall"
)

// freeBytes is what is free, for us, on the file system of a directory.
func freeBytes(directory string) (int64, error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(directory, &s); err != nil {
		return 0, fmt.Errorf("%s: %w", directory, err)
	}
	return int64(s.Bavail) * s.Bsize, nil
}
