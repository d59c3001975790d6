//go:build integration

package integration

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/rogpeppe/go-internal/testscript"
)

// fullDisk moves the provider's database to a small disk of its own and fills that; it
// is there until the end of the story, and full until free-disk.
func (s *stage) fullDisk(_ *bytes.Buffer, _ *testscript.TestScript, args []string) error {
	p, err := s.provider(args[0])
	if err != nil {
		return err
	}
	const more = 4 << 20 // than it has now
	size, err := sizeOf(p.daemonFile("state"))
	if err != nil {
		return err
	}
	s.changed = append(s.changed, func() error {
		return moveState(p, func(dir string) error { return syscall.Unmount(dir, 0) })
	})
	err = moveState(p, func(dir string) error {
		return syscall.Mount("none", dir, "tmpfs", 0, fmt.Sprintf("size=%d,mode=700", size+more))
	})
	if err == nil {
		// It listens before it opens the database, and would not start on a full disk.
		err = waitFor("the doors of "+p.Name, patience, func() error {
			_, err := p.Command("healthcheck", "--config", p.ConfigFile())
			return err
		})
	}
	if err != nil {
		return err
	}
	err = os.WriteFile(filler(p), make([]byte, size+more), 0o600)
	if !errors.Is(err, syscall.ENOSPC) {
		return fmt.Errorf("filling the disk: %v, want %v", err, syscall.ENOSPC)
	}
	return nil
}

// freeDisk makes room again.
func (s *stage) freeDisk(_ *bytes.Buffer, _ *testscript.TestScript, args []string) error {
	p, err := s.provider(args[0])
	if err != nil {
		return err
	}
	return os.Remove(filler(p))
}

// filler is what fills the disk.
func filler(p *Provider) string { return filepath.Join(p.daemonFile("state"), "filler") }

func sizeOf(dir string) (bytes int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err == nil && info.Mode().IsRegular() {
			bytes += info.Size()
		}
		return err
	})
	return bytes, err
}

// moveState puts another file system in the place of the database's, with the same
// files; the daemon is down meanwhile.
func moveState(p *Provider, change func(dir string) error) error {
	dir, kept := p.daemonFile("state"), p.daemonFile("state.kept")
	for _, step := range []func() error{
		p.StopDaemon,
		func() error { return os.RemoveAll(filler(p)) },
		func() error { return os.CopyFS(kept, os.DirFS(dir)) },
		func() error { return change(dir) },
		func() error { return empty(dir) },
		func() error { return os.CopyFS(dir, os.DirFS(kept)) },
		func() error { return os.RemoveAll(kept) },
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return p.StartDaemon()
}

// empty removes all that is in a directory.
func empty(dir string) error {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		err = errors.Join(err, os.RemoveAll(filepath.Join(dir, e.Name())))
	}
	return err
}
