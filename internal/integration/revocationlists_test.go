//go:build integration

package integration

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// fetchLists has a provider fetch its revocation lists from the server, until the
// end of the story.
func (s *stage) fetchLists(_ *bytes.Buffer, _ *testscript.TestScript, args []string) error {
	p, err := s.provider(args[0])
	if err != nil {
		return err
	}
	s.changed = append(s.changed, func() error { return p.FetchRevocations(false) })
	return p.FetchRevocations(true)
}

// publishLists serves new revocation lists; on them are the certificates of the
// providers that are named.
func (s *stage) publishLists(_ *bytes.Buffer, _ *testscript.TestScript, args []string) error {
	lasting, err := time.ParseDuration(args[0])
	if err != nil {
		return err
	}
	var revoked []*x509.Certificate
	for _, name := range args[1:] {
		p, err := s.provider(name)
		if err != nil {
			return err
		}
		c, err := p.certificate()
		if err != nil {
			return err
		}
		revoked = append(revoked, c)
	}
	return s.world.PublishRevocations(time.Now().Add(lasting), revoked...)
}

func (s *stage) cutLists(*bytes.Buffer, *testscript.TestScript, []string) error {
	s.world.CutRevocations()
	return nil
}

// certificate is the provider's signing certificate.
func (p *Provider) certificate() (*x509.Certificate, error) {
	text, err := os.ReadFile(p.daemonFile("signer.pem"))
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("no certificate of %s", p.Name)
	}
	return x509.ParseCertificate(block.Bytes)
}

// logWait is how long a line of the daemon's log is waited for.
const logWait = 2 * time.Minute

// logged waits until the daemon's log has a text, after all that this command has
// found there before.
func (s *stage) logged(_ *bytes.Buffer, _ *testscript.TestScript, args []string) error {
	p, err := s.provider(args[0])
	if err != nil {
		return err
	}
	return waitFor(fmt.Sprintf("%q in %s", args[1], p.LogFile()), logWait, func() error {
		text, err := os.ReadFile(p.LogFile())
		if err != nil {
			return err
		}
		seen := s.seen[p.Name]
		at := strings.Index(string(text[seen:]), args[1])
		if at < 0 {
			return fmt.Errorf("it is not there after the first %d bytes", seen)
		}
		s.seen[p.Name] = seen + at + len(args[1])
		return nil
	})
}
