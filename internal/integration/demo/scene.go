package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/pec-milter/pec-milter/pec"
)

// scene is a scenario as it is played.
type scene struct {
	*stage
	scenario  scenario
	dir       string    // where its results are left
	start     time.Time // when it began
	submitted []byte    // the message, as the sender's client sends it
	arrived   []arrival
	others    []due          // what has happened beside
	undo      []func() error // what it has changed
	judged    error          // what the checks found, beside what is missing or not due
}

func (s *stage) scene(what scenario, dir string) *scene {
	return &scene{stage: s, scenario: what, dir: dir, start: time.Now()}
}

// play lets the message go its way, and checks and keeps what came of it.
func (s *scene) play(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("not everything has arrived within %v", timeout))
	defer cancel()
	played := s.scenario.play(ctx, s)
	if played == nil {
		played = s.watch(ctx)
	}
	return s.check(errors.Join(played, s.restore(), s.save()))
}

// example is a message to look at first: a delivery receipt, if there is one.
func (s *scene) example() string {
	for _, a := range s.arrived {
		if a.certified.Data.Kind == pec.Delivery {
			return a.file
		}
	}
	return "00-submitted.eml"
}

// save leaves everything in the directory of the scene's results.
func (s *scene) save() error {
	errs := []error{
		os.MkdirAll(s.dir, 0o755),
		os.WriteFile(filepath.Join(s.dir, "00-submitted.eml"), s.submitted, 0o644),
		copyFile(filepath.Join(results, "ca.pem"), s.world.AuthorityFile()),
		copyFile(filepath.Join(results, "tls-ca.pem"), s.world.ServerAuthorityFile()),
		s.saveLogs(),
	}
	for _, a := range s.arrived {
		errs = append(errs, os.WriteFile(filepath.Join(s.dir, a.file), a.raw, 0o644))
	}
	return errors.Join(errs...)
}

func copyFile(to, from string) error {
	content, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, content, 0o644)
}

// missingProgram names a program that is not there; nil if all are.
func missingProgram(names ...string) error {
	for _, name := range names {
		if _, err := exec.LookPath(name); err != nil {
			return fmt.Errorf("%w: contrib/debian/setup.sh installs it", err)
		}
	}
	return nil
}
