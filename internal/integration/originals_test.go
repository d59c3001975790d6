//go:build integration

package integration

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/pec-milter/pec-milter/pec"
)

// originals submits every nasty message, each to a user of its own, and compares
// postacert.eml of the envelope and of the delivery receipt with what was
// submitted.
func (s *stage) originals(_ *bytes.Buffer, _ *testscript.TestScript, args []string) error {
	from, domain := args[0], args[1]
	recipients, err := s.provider(strings.TrimSuffix(domain, ".example"))
	if err != nil {
		return err
	}
	var messages []addressed
	var users []string
	for i, n := range nastyMessages() {
		users = append(users, fmt.Sprintf("nasty%d", i))
		messages = append(messages, addressed{n, from, users[i] + "@" + domain})
	}
	if len(messages) < 25 {
		return fmt.Errorf("%d nasty messages, want at least 25", len(messages))
	}
	if err := recipients.AddUsers(users...); err != nil {
		return err
	}
	if err := s.submitAll(messages); err != nil {
		return err
	}
	if err := errors.Join(s.checkEnvelopes(messages), s.checkReceipts(from, messages)); err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "%d nasty messages: postacert.eml equals what was submitted\n", len(messages))
	return nil
}

func (s *stage) submitAll(messages []addressed) error {
	for _, n := range messages {
		sender, err := s.providerOf(n.from)
		if err != nil {
			return err
		}
		if err := sender.Submit(NewMail(n.bytes(), n.from, n.to)); err != nil {
			return fmt.Errorf("%s: %w", n.name, err)
		}
	}
	return nil
}

// checkEnvelopes waits for the one message in each mailbox.
func (s *stage) checkEnvelopes(messages []addressed) error {
	var errs []error
	for _, n := range messages {
		received, err := s.awaitWhole(n.to, 1, func(pec.Header) bool { return true })
		if err == nil && KindOf(received[0].Header) != pec.Envelope {
			err = fmt.Errorf("it is %q", KindOf(received[0].Header))
		}
		if err == nil {
			err = s.judge(received[0], n)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", n.name, err))
		}
	}
	return errors.Join(errs...)
}

// checkReceipts does the same for the delivery receipts in the sender's mailbox.
func (s *stage) checkReceipts(from string, messages []addressed) error {
	receipts, err := s.awaitWhole(from, len(messages), func(h pec.Header) bool { return KindOf(h) == pec.Delivery })
	if err != nil {
		return err
	}
	owed := make(map[string]addressed)
	for _, n := range messages {
		owed[n.to] = n
	}
	var errs []error
	for _, r := range receipts {
		c, err := CutCertified(r.Raw)
		if err != nil {
			return err
		}
		n, found := owed[c.Data.Delivered]
		if !found {
			return fmt.Errorf("a receipt for %q too many", c.Data.Delivered)
		}
		delete(owed, n.to)
		if err := s.judge(r, n); err != nil {
			errs = append(errs, fmt.Errorf("receipt of %s: %w", n.name, err))
		}
	}
	return errors.Join(errs...)
}

// judge compares the original, and asks openssl and xmllint.
func (s *stage) judge(r Received, n addressed) error {
	c, err := CutCertified(r.Raw)
	if err != nil {
		return err
	}
	if err := SameButIdentifiers(c.Original, n.bytes()); err != nil {
		return err
	}
	return Judges(r.Raw, c.Daticert, s.world.AuthorityFile(), filepath.Join(s.repository, "pec", "testdata", "postacert.dtd"))
}
