package lifetime_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/pec-milter/pec-milter/internal/lifetime"
	"github.com/pec-milter/pec-milter/internal/point"
	"github.com/pec-milter/pec-milter/pec"
)

var (
	now      = time.Date(2026, 3, 2, 10, 0, 0, 0, time.UTC)
	errDown  = errors.New("the database is down")
	errClock = errors.New("the clock is off")
)

func submission(age time.Duration) lifetime.Submission {
	return lifetime.Submission{Accepted: now.Add(-age), Recipients: []pec.Recipient{
		{Address: "User@beta.example", Kind: pec.Certified}, {Address: "x@ordinary.example", Kind: pec.Ordinary},
		{Address: "colleague@alfa.example", Kind: pec.Certified},
	}}
}

// TestExpired: RFC 6109 section 2.2.2.
func TestExpired(t *testing.T) {
	old, young := submission(24*time.Hour), submission(24*time.Hour-time.Second)
	cases := []struct {
		name      string
		recorded  []lifetime.Submission
		failure   error
		trouble   error
		queueID   string
		recipient string
		want      bool
		wantError error
	}{
		{name: "a day old", recorded: []lifetime.Submission{old}, recipient: "User@beta.example", want: true},
		{name: "a second less", recorded: []lifetime.Submission{young}, recipient: "User@beta.example"},
		{name: "domain in another case", recorded: []lifetime.Submission{old}, recipient: "User@BETA.example", want: true},
		{name: "ordinary recipient", recorded: []lifetime.Submission{old}, recipient: "x@ordinary.example", want: true},
		{name: "our own", recorded: []lifetime.Submission{old}, recipient: "colleague@Alfa.example"},
		{name: "outbox", recorded: []lifetime.Submission{old}, recipient: "accettazione.a.b@" + point.OutboxDomain},
		{name: "not certified by us", recipient: "User@beta.example"},
		{name: "no recipient of it", recorded: []lifetime.Submission{old}, recipient: "other@beta.example"},
		{name: "two of that queue id", recorded: []lifetime.Submission{old, young, old}, recipient: "User@beta.example"},
		{name: "outside of a queue", recorded: []lifetime.Submission{old}, queueID: "none", recipient: "User@beta.example"},
		{name: "database down", failure: errDown, recipient: "User@beta.example", wantError: errDown},
		{name: "our own, database down", failure: errDown, recipient: "colleague@alfa.example"},
		{name: "clock not believed", recorded: []lifetime.Submission{old}, trouble: errClock, recipient: "User@beta.example", wantError: errClock},
		{name: "young, clock not believed", recorded: []lifetime.Submission{young}, trouble: errClock, recipient: "User@beta.example"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			judge := lifetime.Judge{
				Submissions: func(_ context.Context, queueID string) ([]lifetime.Submission, error) {
					if queueID != "6AU0A9kv011406" {
						t.Errorf("asked for queue id %q", queueID)
					}
					return c.recorded, c.failure
				},
				Domains: []string{"alfa.example"}, Clock: func() time.Time { return now },
				Trouble: func() error { return c.trouble },
			}
			queueID := "6AU0A9kv011406"
			if c.queueID != "" {
				queueID = ""
			}
			got, err := judge.Expired(t.Context(), queueID, c.recipient)
			if got != c.want || !errors.Is(err, c.wantError) {
				t.Errorf("Expired(%q) = %v, %v, want %v, %v", c.recipient, got, err, c.want, c.wantError)
			}
			if got && err != nil {
				t.Error("expired in doubt")
			}
		})
	}
}
