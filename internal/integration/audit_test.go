//go:build integration

package integration

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// expected is a breach of the daily log that a story makes on purpose.
type expected struct{ address, rule string }

func (s *stage) expectBreach(_ *bytes.Buffer, _ *testscript.TestScript, args []string) error {
	s.expected = append(s.expected, expected{args[0], args[1]})
	return nil
}

// audit looks at the providers' legal logs after a story, when all queues are
// empty: what was certified in it must be finished, by the rules of the official
// interoperability tests. Stories that leave a message unfinished name the breach,
// and must be right. What an earlier story broke is not told again.
func (s *stage) audit(t *testing.T) {
	t.Helper()
	wanted := s.expected
	s.expected = nil
	failed := t.Failed() // then its messages may be unfinished, and no later story is to blame
	if err := s.world.Settle(); err != nil {
		t.Error(err)
	}
	for _, p := range s.world.Providers {
		breaches, err := p.Audit()
		if err != nil {
			t.Error(err)
		}
		for _, b := range breaches {
			told := p.Name + " " + b.String()
			if s.told[told] {
				continue
			}
			s.told[told] = true
			if failed {
				continue
			}
			n := slices.IndexFunc(wanted, func(e expected) bool {
				return slices.Contains(b.Addresses, e.address) && strings.Contains(b.Rule, e.rule)
			})
			if n < 0 {
				t.Errorf("daily log of %s: %v (of %v)", p.Name, b, b.Addresses)
				continue
			}
			wanted = slices.Delete(wanted, n, n+1)
		}
	}
	for _, e := range wanted {
		if failed {
			break
		}
		t.Errorf("no breach of the daily log about %s with %q: the story expects one", e.address, e.rule)
	}
}
