package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/pec-milter/pec-milter/internal/integration"
	"github.com/pec-milter/pec-milter/internal/testevidence"
	"github.com/pec-milter/pec-milter/pec"
)

// checkEvidence seals the legal logs as every day does, and takes the evidence of the
// message from each: its verify.sh passes, and with a byte of any file changed it does
// not. The archives are left with the results.
func (s *scene) checkEvidence() error {
	message, err := pec.ReadMessage(bytes.NewReader(s.submitted), int64(len(s.submitted)))
	if err != nil {
		return err
	}
	programs, err := os.MkdirTemp("", "programs")
	if err != nil {
		return err
	}
	defer os.RemoveAll(programs)
	if err := testevidence.LinkPrograms(programs); err != nil {
		return fmt.Errorf("%w: contrib/debian/setup.sh installs it", err)
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
	path, err := filepath.Abs(filepath.Join(s.dir, "evidence-"+p.Name+".zip"))
	if err != nil {
		return err
	}
	if _, err := p.Command("log", "seal", "--config", p.ConfigFile()); err != nil {
		return err
	}
	if _, err := p.Command("evidence", "--config", p.ConfigFile(), "--out", path, "--reason", "demo", id); err != nil {
		return err
	}
	archive, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "evidence")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	files, err := testevidence.Unpack(archive, dir)
	if err != nil {
		return err
	}
	if printed, code, err := testevidence.Verify(context.Background(), programs, dir); err != nil || code != 0 {
		return errors.Join(err, fmt.Errorf("verify.sh: exit code %d:\n%s", code, printed))
	}
	for _, file := range files {
		if err := changeByte(programs, dir, file); err != nil {
			return err
		}
	}
	return nil
}

// changeByte changes a byte in the middle of a file, and changes it back: verify.sh
// must find it.
func changeByte(programs, dir, name string) error {
	path := filepath.Join(dir, name)
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	changed := slices.Clone(content)
	changed[len(changed)/2] ^= 1
	if err := os.WriteFile(path, changed, 0o644); err != nil {
		return err
	}
	if printed, code, err := testevidence.Verify(context.Background(), programs, dir); err != nil || code == 0 {
		return errors.Join(err, fmt.Errorf("verify.sh passes although byte %d of %s was changed:\n%s", len(changed)/2, name, printed))
	}
	return os.WriteFile(path, content, 0o644)
}
