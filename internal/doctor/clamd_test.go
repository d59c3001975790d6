package doctor

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/pec-milter/pec-milter/internal/point"
)

// scanner knows the test virus, unless blind, and takes messages up to limit
// bytes.
type scanner struct {
	err   error
	date  time.Time // zero: no official base
	blind bool
	limit int64
	over  error // what a larger message gets; nil: it is over the limits
}

func (s *scanner) Version(context.Context) (engine, base string, date time.Time, err error) {
	if s.err != nil || s.date.IsZero() {
		return "1.4.6", "", time.Time{}, s.err
	}
	return "1.4.6", "27500", s.date, nil
}

func (s *scanner) Scan(_ context.Context, message io.WriterTo) (point.Finding, error) {
	var content bytes.Buffer
	size, err := message.WriteTo(&content)
	switch {
	case err != nil:
		return point.Finding{}, err
	case size > s.limit:
		return point.Finding{Limits: s.over == nil}, s.over
	case !s.blind && strings.Contains(content.String(), `X5O!P%@AP[4\PZX54(P^)7CC)7}$`+"EICAR-STANDARD"+`-ANTIVIRUS-TEST-FILE!$H+H*`):
		return point.Finding{Virus: "Eicar"}, nil
	}
	return point.Finding{}, nil
}

func TestAntivirus(t *testing.T) {
	const size = 200_000
	fresh, old := noon.Add(-12*time.Hour), noon.AddDate(0, 0, -4)
	cases := []struct {
		name    string
		scanner scanner
		bad     string // the one check that is; empty: none
		text    string
	}{
		{"good", scanner{date: fresh, limit: size}, "", ""},
		{"down", scanner{err: errors.New("connection refused")}, "clamd", "connection refused"},
		{"old signatures", scanner{date: old, limit: size}, "clamd.signatures", "4 days"},
		{"no signatures", scanner{date: fresh, limit: size, blind: true}, "clamd.test-virus", "EICAR for clean"},
		{"StreamMaxLength", scanner{date: fresh, limit: size - 1, over: errors.New("size limit exceeded")}, "clamd.size", "size limit"},
		{"MaxScanSize", scanner{date: fresh, limit: size - 1}, "clamd.size", "over clamd's limits"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			for _, f := range Antivirus(t.Context(), &c.scanner, size, noon) {
				if f.Check == c.bad {
					want(t, f, Bad, c.text)
					c.bad = ""
				} else {
					want(t, f, Good, "")
				}
			}
			if c.bad != "" {
				t.Errorf("nothing was found about %s", c.bad)
			}
		})
	}
	want(t, Antivirus(t.Context(), &scanner{limit: size}, size, noon)[1], NotChecked, "no official base")
}
