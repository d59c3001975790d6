//go:build integration

package integration

import (
	"bytes"
	"errors"

	"github.com/rogpeppe/go-internal/testscript"
)

// sendmailCF changes texts of the provider's sendmail.cf, which must be there, until the
// end of the story, and starts Sendmail again: what it was delivering is delivered before,
// or waits in its queue.
func (s *stage) sendmailCF(_ *bytes.Buffer, ts *testscript.TestScript, args []string) error {
	p, err := s.provider(args[0])
	if err != nil {
		return err
	}
	if len(args)%2 == 0 {
		ts.Fatalf("sendmail-cf: %q has nothing in its place", args[len(args)-1])
	}
	if p.cfEdits == nil {
		s.changed = append(s.changed, func() error { return p.restartSendmail(nil) })
	}
	return p.restartSendmail(args[1:])
}

func (p *Provider) restartSendmail(edits []string) error {
	p.cfEdits = edits
	return errors.Join(p.stopMTA(), p.startMTA())
}
