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

// check judges what has arrived, after the scene was played, or could not be; the
// error joins everything that is wrong.
func (s *scene) check(played error) error {
	logs, agree := s.scenario.logs, "the two legal logs tell of exactly these messages"
	if logs == nil {
		logs, agree = (*scene).auditLogs, "the two legal logs tell of these messages, and break no rule of the daily log"
	}
	s.page.heading("Checks")
	if played != nil {
		s.page.check("the scene was played to its end", played)
	}
	err := s.checkDue()
	s.page.check("all that is due has arrived, once, and nothing else", err)
	for _, c := range []struct {
		what  string
		check func(*scene) error
	}{
		{"openssl cms -verify accepts every signature; xmllint, with the DTD of RFC 6109, every daticert.xml", (*scene).checkJudges},
		{"postacert.eml equals the submitted bytes, but for Message-ID and X-Riferimento-Message-ID", (*scene).checkOriginals},
		{agree, logs},
		{"evidence of the message from both sealed logs: sh verify.sh passes, and fails with a byte of any file changed", s.scenario.evidence},
	} {
		if c.check == nil {
			continue
		}
		err := c.check(s)
		s.page.check(c.what, err)
		s.judged = errors.Join(s.judged, err)
	}
	return errors.Join(played, err, s.judged)
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

// checkOriginals: envelopes, also of anomalies, and complete delivery receipts
// carry the message.
func (s *scene) checkOriginals() error {
	var errs []error
	for _, a := range s.arrived {
		kind := a.certified.Data.Kind
		if kind != pec.Envelope && kind != pec.Anomaly && kind != pec.Delivery {
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

// auditLogs: each provider logged what is in the mailboxes, and of every message
// its log tells the whole story. What an earlier scene broke is not told again.
func (s *scene) auditLogs() error {
	var errs []error
	for _, p := range s.world.Providers {
		_, rows, err := p.LegalLog()
		if err != nil {
			return err
		}
		has := logged(rows)
		for _, seen := range s.seenOf(p) {
			if !slices.Contains(has, seen) {
				errs = append(errs, fmt.Errorf("the legal log of %s has not: %s", p.Name, seen))
			}
		}
		breaches, err := p.Audit()
		errs = append(errs, err)
		for _, b := range breaches {
			if told := p.Name + " " + b.String(); !s.told[told] {
				s.told[told] = true
				errs = append(errs, fmt.Errorf("daily log of %s: %v (of %v)", p.Name, b, b.Addresses))
			}
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
		case point.EventAnomaly:
			all = append(all, made(pec.Anomaly, strings.Trim(row.Reference, "<>")))
		case point.EventIssued:
			all = append(all, made(row.Notice, row.NoticeID))
		case point.EventDelivered:
			kind, id := pec.Envelope, row.ID
			switch {
			case row.Notice != "":
				kind, id = row.Notice, row.NoticeID
			case row.ID == "": // it has no certification data, and keeps its Message-ID
				kind, id = pec.Anomaly, strings.Trim(row.Reference, "<>")
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
		if a.provider == p.Title {
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
