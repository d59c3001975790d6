package main

import (
	"archive/zip"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/pec-milter/pec-milter/internal/evidence"
	"github.com/pec-milter/pec-milter/internal/integration"
	"github.com/pec-milter/pec-milter/pec"
)

// checkEvidence seals the legal logs as every day does, and takes the evidence of the
// message from each: its verify.sh passes, and with a byte of any file changed it does
// not. The archives are left with the results.
func (s *scene) checkEvidence() error {
	message, err := pec.ReadMessage(strings.NewReader(string(s.submitted)), int64(len(s.submitted)))
	if err != nil {
		return err
	}
	programs, err := os.MkdirTemp("", "programs")
	if err != nil {
		return err
	}
	defer os.RemoveAll(programs)
	if err := linkPrograms(programs, evidence.Programs); err != nil {
		return err
	}
	var errs []error
	for _, p := range s.world.Providers {
		if err := s.evidenceOf(p, pec.MessageID(message.Header), programs); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", p.Name, err))
		}
	}
	return errors.Join(errs...)
}

// evidenceOf takes and verifies the evidence that one provider has.
func (s *scene) evidenceOf(p *integration.Provider, id, programs string) error {
	archive, err := filepath.Abs(filepath.Join(s.dir, "evidence-"+p.Name+".zip"))
	if err != nil {
		return err
	}
	if _, err := p.Command("log", "seal", "--config", p.ConfigFile()); err != nil {
		return err
	}
	if _, err := p.Command("evidence", "--config", p.ConfigFile(), "--out", archive, "--reason", "demo", id); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "evidence")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	files, err := unpack(archive, dir)
	if err != nil {
		return err
	}
	if printed, err := verifyEvidence(programs, dir); err != nil {
		return fmt.Errorf("verify.sh: %w:\n%s", err, printed)
	}
	for _, file := range files {
		if err := changeByte(programs, dir, file); err != nil {
			return err
		}
	}
	return nil
}

// linkPrograms makes a directory of some programs of this machine.
func linkPrograms(dir string, names []string) error {
	for _, name := range names {
		path, err := exec.LookPath(name)
		if err != nil {
			return fmt.Errorf("%w: contrib/debian/setup.sh installs it", err)
		}
		if err := os.Symlink(path, filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	return nil
}

func unpack(archive, dir string) (files []string, err error) {
	r, err := zip.OpenReader(archive)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	for _, f := range r.File {
		files = append(files, f.Name)
	}
	return files, os.CopyFS(dir, r)
}

// verifyEvidence runs verify.sh with those programs and no others.
func verifyEvidence(programs, dir string) (string, error) {
	cmd := exec.Command(filepath.Join(programs, "sh"), filepath.Join(dir, "verify.sh"))
	cmd.Env = []string{"PATH=" + programs}
	printed, err := cmd.CombinedOutput()
	return string(printed), err
}

// changeByte changes a byte in the middle of a file, and changes it back: verify.sh
// must find it.
func changeByte(programs, dir, name string) error {
	path := filepath.Join(dir, name)
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	changed := append([]byte(nil), content...)
	changed[len(changed)/2] ^= 1
	if err := errors.Join(os.Chmod(path, 0o600), os.WriteFile(path, changed, 0o600)); err != nil {
		return err
	}
	if printed, err := verifyEvidence(programs, dir); err == nil {
		return fmt.Errorf("verify.sh passes although byte %d of %s was changed:\n%s", len(changed)/2, name, printed)
	}
	return os.WriteFile(path, content, 0o600)
}
