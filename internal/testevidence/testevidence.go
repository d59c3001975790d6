// Package testevidence verifies an archive of evidence as a court's expert does, for the
// tests and the demo: with its own script, and no programs but those that it may run.
package testevidence

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// programs are those that verify.sh runs, and no others.
var programs = []string{"sh", "openssl", "sha256sum", "cat", "cut", "date", "dirname", "od", "wc"}

// LinkPrograms puts the programs that verify.sh may run into a directory. The error
// says which is missing on this machine.
func LinkPrograms(dir string) error {
	for _, name := range programs {
		path, err := exec.LookPath(name)
		if err != nil {
			return err
		}
		if err := os.Symlink(path, filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	return nil
}

// Unpack unpacks an archive into a directory, so that its files can be changed, and
// names them.
func Unpack(archive []byte, dir string) (names []string, err error) {
	r, err := zip.NewReader(bytes.NewReader(archive), int64(len(archive)))
	if err != nil {
		return nil, err
	}
	if err := os.CopyFS(dir, r); err != nil {
		return nil, err
	}
	for _, f := range r.File {
		names = append(names, f.Name)
		if err := os.Chmod(filepath.Join(dir, f.Name), 0o644); err != nil {
			return nil, err
		}
	}
	return names, nil
}

// Verify runs the verify.sh of an unpacked archive with the linked programs, and gives
// what it printed and its exit code: 0, all is proved; 1, it is not; 2, what is there
// is as it was, and not all is there. An error: it did not run.
func Verify(ctx context.Context, linked, dir string) (printed string, code int, err error) {
	cmd := exec.CommandContext(ctx, filepath.Join(linked, "sh"), filepath.Join(dir, "verify.sh"))
	cmd.Env = []string{"PATH=" + linked}
	output, err := cmd.CombinedOutput()
	var ended *exec.ExitError
	if err != nil && !errors.As(err, &ended) {
		return "", 0, fmt.Errorf("verify.sh: %w", err)
	}
	return string(output), cmd.ProcessState.ExitCode(), nil
}
