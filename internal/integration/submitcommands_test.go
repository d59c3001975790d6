//go:build integration

package integration

import (
	"bytes"

	"github.com/rogpeppe/go-internal/testscript"
)

func (s *stage) submit(out *bytes.Buffer, ts *testscript.TestScript, args []string) error {
	return s.submitAs(out, ts, append([]string{args[1]}, args...))
}

func (s *stage) submitAs(_ *bytes.Buffer, ts *testscript.TestScript, args []string) error {
	user := args[0]
	if user == "nobody" {
		user = ""
	}
	m := readMail(ts, user, args[1:])
	p, err := s.providerOf(m.From)
	if err != nil {
		return err
	}
	return p.Submit(m)
}

// sendBy is the command that has a provider take a message in one of its ways.
func (s *stage) sendBy(way func(*Provider, Mail) error) func(*bytes.Buffer, *testscript.TestScript, []string) error {
	return func(_ *bytes.Buffer, ts *testscript.TestScript, args []string) error {
		p, err := s.provider(args[0])
		if err != nil {
			return err
		}
		return way(p, readMail(ts, "", args[1:]))
	}
}

func (s *stage) smtp(out *bytes.Buffer, _ *testscript.TestScript, args []string) error {
	p, err := s.providerOf(args[0])
	if err != nil {
		return err
	}
	replies, err := p.SubmitLines(args[0], args[1:])
	out.WriteString(replies)
	return err
}
