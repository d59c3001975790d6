package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/pec-milter/pec-milter/internal/integration"
	"github.com/pec-milter/pec-milter/pec"
)

// The people of the demo.
const (
	sender    = "mario.rossi@alfa.example"
	colleague = "anna.bianchi@alfa.example"
	remote    = "giulia.verdi@beta.example"
	outsider  = "luca.neri@ordinary.example"
)

var recipients = []string{remote, colleague, outsider}

// scene is one run of the demo.
type scene struct {
	world     *integration.World
	page      *page
	submitted []byte    // the message, as the sender's client sends it
	start     time.Time // when it was submitted
	arrived   []arrival
}

func (s *scene) alfa() *integration.Provider { return s.world.Provider("alfa") }
func (s *scene) beta() *integration.Provider { return s.world.Provider("beta") }

// mailboxes are those that are watched: also those in which nothing is due.
func (s *scene) mailboxes() []string {
	return []string{
		sender, colleague, remote, outsider,
		s.alfa().MailReceipt, s.beta().MailReceipt, s.alfa().Address, s.beta().Address,
	}
}

// play lets the message go its way, and checks and keeps what came of it.
func (s *scene) play(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("not everything has arrived within %v", timeout))
	defer cancel()
	if err := s.addUsers(); err != nil {
		return err
	}
	s.page.world(s)
	boxes, err := s.open()
	for _, box := range boxes {
		defer box.Close()
	}
	if err != nil {
		return err
	}
	if err := s.submit(); err != nil {
		return err
	}
	missing := s.watch(ctx, boxes)
	err = errors.Join(missing, s.save(), s.check())
	s.page.results(s)
	return err
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

func (s *scene) addUsers() error {
	return errors.Join(
		s.alfa().AddUsers(integration.Local(sender), integration.Local(colleague)),
		s.beta().AddUsers(integration.Local(remote)),
		s.world.Ordinary.AddUsers(integration.Local(outsider)),
	)
}

func (s *scene) submit() error {
	s.start = time.Now()
	s.submitted = composeMessage(s.start)
	s.page.letter()
	if err := s.alfa().Submit(integration.NewMail(s.submitted, sender, recipients...)); err != nil {
		return fmt.Errorf("submitting the message: %w", err)
	}
	s.page.event(time.Now(), s.start, "mario's client", "submitted", "SASL over STARTTLS, answered 250")
	return nil
}

// save leaves everything in the directory of the results.
func (s *scene) save() error {
	errs := []error{
		os.WriteFile(filepath.Join(results, "00-submitted.eml"), s.submitted, 0o644),
		copyFile(filepath.Join(results, "ca.pem"), s.world.AuthorityFile()),
		copyFile(filepath.Join(results, "tls-ca.pem"), s.world.ServerAuthorityFile()),
	}
	for _, a := range s.arrived {
		errs = append(errs, os.WriteFile(filepath.Join(results, a.file), a.raw, 0o644))
	}
	for _, p := range s.world.Providers {
		printed, _, err := p.LegalLog()
		errs = append(errs, err, os.WriteFile(filepath.Join(results, "legal-log-"+p.Name+".ndjson"), printed, 0o644))
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

// keepLogsOnFailure leaves the servers' logs with the results if something went
// wrong.
func (s *scene) keepLogsOnFailure(failure error) error {
	if failure == nil {
		return nil
	}
	s.page.logs()
	return s.world.SaveLogs(results)
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
