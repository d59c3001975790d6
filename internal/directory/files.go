package directory

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// readLimited reads at most limit bytes; more is an error.
func readLimited(r io.Reader, limit int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("it is larger than %d MiB", limit>>20)
	}
	return data, nil
}

// readFile reads a file of at most limit bytes. Errors name the file.
func readFile(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := readLimited(f, limit)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	return data, nil
}

// snapshot is what the file system says of some files: enough to see whether
// one has changed, without opening it.
type snapshot []fileState

type fileState struct {
	info os.FileInfo // nil: there is an error instead
	err  string
}

// look takes a snapshot. Symbolic links are followed.
func look(paths ...string) snapshot {
	states := make(snapshot, len(paths))
	for i, path := range paths {
		info, err := os.Stat(path)
		states[i] = newFileState(info, err)
	}
	return states
}

// lookInto takes a snapshot of a directory and of what is in it: writing into a
// file does not change the directory.
func lookInto(directory string) snapshot {
	entries, err := os.ReadDir(directory)
	if err != nil {
		return snapshot{newFileState(nil, err)}
	}
	paths := []string{directory}
	for _, entry := range entries {
		paths = append(paths, filepath.Join(directory, entry.Name()))
	}
	return look(paths...)
}

func newFileState(info os.FileInfo, err error) fileState {
	if err != nil {
		return fileState{err: err.Error()}
	}
	return fileState{info: info}
}

// modified is when the first of the files was; zero if it is not there.
func (s snapshot) modified() (at time.Time) {
	if len(s) > 0 && s[0].info != nil {
		at = s[0].info.ModTime()
	}
	return at
}

func (s snapshot) equal(t snapshot) bool {
	if len(s) != len(t) {
		return false
	}
	for i := range s {
		if !s[i].equal(t[i]) {
			return false
		}
	}
	return true
}

// equal compares inode, size and time of modification.
func (f fileState) equal(g fileState) bool {
	if f.info == nil || g.info == nil {
		return f.info == nil && g.info == nil && f.err == g.err
	}
	return os.SameFile(f.info, g.info) && f.info.Size() == g.info.Size() && f.info.ModTime().Equal(g.info.ModTime())
}
