package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/pec-milter/pec-milter/internal/integration"
)

// stage is where the scenes are played, one after the other.
type stage struct {
	world       *integration.World
	page        *page
	boxes       []*integration.Mailbox
	quarantined map[string]int  // by provider: how many messages its quarantine had when last seen
	told        map[string]bool // breaches of the daily log that an earlier scene is to blame for
}

func newStage(world *integration.World, page *page) *stage {
	return &stage{world: world, page: page, quarantined: make(map[string]int), told: make(map[string]bool)}
}

func (s *stage) alfa() *integration.Provider { return s.world.Provider("alfa") }
func (s *stage) beta() *integration.Provider { return s.world.Provider("beta") }

// perform plays the main job, and then the chosen scenarios. With those, the
// table at the end has them all.
func (s *stage) perform(ctx context.Context, chosen []scenario) error {
	if err := s.addUsers(); err != nil {
		return err
	}
	s.page.world(s)
	err := s.open()
	for _, box := range s.boxes {
		defer box.Close()
	}
	if err != nil {
		return err
	}
	first := s.scene(mainJob(), results)
	err = first.play(ctx)
	s.page.results(first)
	if len(chosen) == 0 {
		return err
	}
	table := []result{first.result(err)}
	for _, c := range chosen {
		s.page.scenario(c)
		scene := s.scene(c, filepath.Join(results, c.name))
		table = append(table, scene.result(scene.play(ctx)))
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	s.page.table(table)
	s.page.line("\nThe messages of each scenario are in %s, in a directory of its name.", results)
	return errors.Join(s.saveLogs(), badOnes(table))
}

// badOnes is an error that names the scenarios that were not as expected.
func badOnes(table []result) error {
	var names []string
	for _, r := range table {
		if !r.ok() {
			names = append(names, r.name)
		}
	}
	if len(names) == 0 {
		return nil
	}
	return fmt.Errorf("not as expected: %s", strings.Join(names, ", "))
}

func (s *stage) addUsers() error {
	return errors.Join(
		s.alfa().AddUsers(integration.Local(sender), integration.Local(colleague)),
		s.beta().AddUsers(integration.Local(remote)),
		s.world.Ordinary.AddUsers(integration.Local(outsider)),
	)
}

// open opens the mailboxes that are watched: also those in which nothing is due.
func (s *stage) open() error {
	for _, address := range []string{
		sender, colleague, remote, outsider,
		s.alfa().MailReceipt, s.beta().MailReceipt, s.alfa().Address, s.beta().Address,
	} {
		box, err := s.world.SiteOf(address).OpenMailbox(address)
		if err != nil {
			return err
		}
		s.boxes = append(s.boxes, box)
	}
	return nil
}

// saveLogs leaves the legal logs among the results, as they are now.
func (s *stage) saveLogs() error {
	var errs []error
	for _, p := range s.world.Providers {
		printed, _, err := p.LegalLog()
		errs = append(errs, err, os.WriteFile(filepath.Join(results, "legal-log-"+p.Name+".ndjson"), printed, 0o644))
	}
	return errors.Join(errs...)
}

// keepLogsOnFailure leaves the servers' logs with the results if something went
// wrong.
func (s *stage) keepLogsOnFailure(failure error) error {
	if failure == nil {
		return nil
	}
	s.page.logs()
	return s.world.SaveLogs(results)
}
