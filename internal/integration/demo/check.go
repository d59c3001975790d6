package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/pec-milter/pec-milter/internal/integration"
	"github.com/pec-milter/pec-milter/internal/point"
	"github.com/pec-milter/pec-milter/pec"
)

// check judges what has arrived; the error joins everything that is wrong.
func (s *scene) check() error {
	s.page.heading("Checks")
	var errs []error
	for _, c := range []struct {
		what  string
		check func() error
	}{
		{"all that is due has arrived, once, and nothing else", s.checkDue},
		{"openssl cms -verify accepts every signature; xmllint, with the DTD of RFC 6109, every daticert.xml", s.checkJudges},
		{"postacert.eml equals the submitted bytes, but for Message-ID and X-Riferimento-Message-ID", s.checkOriginals},
		{"the two legal logs tell of exactly these messages", s.checkLogs},
	} {
		err := c.check()
		s.page.check(c.what, err)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func (s *scene) checkDue() error {
	var errs []error
	for _, d := range s.missing() {
		errs = append(errs, errors.New("missing: "+d))
	}
	for _, d := range s.unexpected() {
		errs = append(errs, errors.New("not due: "+d))
	}
	return errors.Join(errs...)
}

func (s *scene) checkJudges() error {
	errs := []error{missingProgram("openssl", "xmllint")}
	for _, a := range s.arrived {
		if err := integration.Judges(a.raw, a.certified.Daticert, s.world.AuthorityFile(), dtd); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", a.file, err))
		}
	}
	return errors.Join(errs...)
}

// checkOriginals: envelopes and complete delivery receipts carry the message.
func (s *scene) checkOriginals() error {
	var errs []error
	for _, a := range s.arrived {
		kind := a.certified.Data.Kind
		if kind != pec.Envelope && kind != pec.Delivery {
			continue
		}
		if err := integration.SameButIdentifiers(a.certified.Original, s.submitted); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", a.file, err))
		}
	}
	return errors.Join(errs...)
}

// checkLogs compares what each provider logged with what is in the mailboxes,
// both ways.
func (s *scene) checkLogs() error {
	var errs []error
	for _, p := range s.world.Providers {
		_, rows, err := p.LegalLog()
		if err != nil {
			return err
		}
		got, want := logged(rows), s.seenOf(p)
		if !slices.Equal(got, want) {
			errs = append(errs, fmt.Errorf("the legal log of %s has\n\t%s\nand the mailboxes have\n\t%s",
				p.Name, strings.Join(got, "\n\t"), strings.Join(want, "\n\t")))
		}
	}
	return errors.Join(errs...)
}

// logged is what a legal log says was accepted, issued and stored, sorted.
func logged(rows []integration.LogRow) []string {
	var all []string
	for _, row := range rows {
		switch row.Kind {
		case point.EventAccepted:
			all = append(all, made(pec.Envelope, row.ID))
		case point.EventIssued:
			all = append(all, made(row.Notice, row.NoticeID))
		case point.EventDelivered:
			kind, id := pec.Envelope, row.ID
			if row.Notice != "" {
				kind, id = row.Notice, row.NoticeID
			}
			all = append(all, stored(kind, id, row.Delivered))
		}
	}
	slices.Sort(all)
	return all
}

// seenOf is what the mailboxes say that a provider accepted, issued and stored,
// sorted.
func (s *scene) seenOf(p *integration.Provider) []string {
	seen := make(map[string]bool) // an envelope is made once and may be seen by many
	for _, a := range s.arrived {
		data := a.certified.Data
		id := strings.Trim(a.header.Get("Message-ID"), "<>")
		if data.Provider == p.Title {
			seen[made(data.Kind, id)] = true
		}
		if pec.Domain(a.mailbox) == p.Domain {
			seen[stored(data.Kind, id, a.mailbox)] = true
		}
	}
	return slices.Sorted(maps.Keys(seen))
}

func made(kind pec.Kind, id string) string { return fmt.Sprintf("made %s %s", kind, id) }

func stored(kind pec.Kind, id, mailbox string) string {
	return fmt.Sprintf("stored %s %s for %s", kind, id, mailbox)
}
