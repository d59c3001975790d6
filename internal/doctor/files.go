package doctor

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// Files turns what is wrong with the files that the configuration names into
// findings. err joins one error for each fault, or is nil.
func Files(err error) []Finding {
	const check = "files"
	if err == nil {
		return []Finding{good(check, "those that the configuration names are there, and the secret ones are private")}
	}
	faults := []error{err}
	if joined := (interface{ Unwrap() []error })(nil); errors.As(err, &joined) {
		faults = joined.Unwrap()
	}
	var found []Finding
	for _, fault := range faults {
		found = append(found, bad(check, fileRepair(fault), "%v", fault))
	}
	return found
}

// fileRepair: the errors about modes end with the command.
func fileRepair(fault error) string {
	if _, command, ok := strings.Cut(fault.Error(), ": chmod "); ok {
		return "chmod " + command
	}
	return "put it there, readable for the daemon's user"
}

// Private tells whether a file that the daemon makes is closed to other users, by
// its own mode or by that of its directory.
func Private(check, path string) Finding {
	info, err := os.Stat(path)
	if err != nil {
		return notChecked(check, "%v: the daemon makes it at its first start", err)
	}
	directory, err := os.Stat(filepath.Dir(path))
	if err != nil {
		return notChecked(check, "%v", err)
	}
	if mode := info.Mode().Perm(); mode&0o007 != 0 && directory.Mode().Perm()&0o001 != 0 {
		return bad(check, "chmod 0700 "+filepath.Dir(path), "%s is open to every user of this machine (mode %04o)", path, mode)
	}
	return good(check, "%s is closed to other users", path)
}

// Space tells whether the file system of a path, or of its directory, has at
// least so many bytes left, and is not short of inodes.
func Space(check, path string, least int64) Finding {
	const leastInodes = 10_000
	var fs syscall.Statfs_t
	err := syscall.Statfs(path, &fs)
	if errors.Is(err, os.ErrNotExist) {
		path = filepath.Dir(path)
		err = syscall.Statfs(path, &fs)
	}
	if err != nil {
		return notChecked(check, "free space at %s: %v", path, err)
	}
	repair := "make room on the file system of " + path + ": df " + path
	free := int64(fs.Bavail) * int64(fs.Bsize)
	switch {
	case free < least:
		return bad(check, repair, "%d MB left at %s, at least %d are wanted: when it is full everybody gets 451", free/1e6, path, least/1e6)
	case fs.Files > 0 && fs.Ffree < leastInodes:
		return bad(check, repair+"; df -i "+path, "%d inodes left at %s", fs.Ffree, path)
	}
	return good(check, "%d MB left at %s", free/1e6, path)
}
