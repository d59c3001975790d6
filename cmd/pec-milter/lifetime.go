package main

import (
	"context"
	"time"

	"github.com/pec-milter/pec-milter/internal/config"
	"github.com/pec-milter/pec-milter/internal/legallog"
	"github.com/pec-milter/pec-milter/internal/lifetime"
	"github.com/pec-milter/pec-milter/internal/point"
)

// lifetimeDoor is the name of the socket that Sendmail asks.
const lifetimeDoor = "lifetime"

// lifetime is the server that Sendmail asks, if there is to be one.
func (s *services) lifetime(c *config.Config) []door {
	if c.MTA.Lifetime.Network == "" {
		return nil
	}
	judge := &lifetime.Judge{
		Submissions: s.submissions, Domains: c.Provider.Domains,
		Clock: s.provider.Clock, Trouble: s.provider.ClockTrouble,
	}
	return []door{{lifetimeDoor, lifetime.NewServer(lifetime.Config{
		Expired: judge.Expired, Now: time.Now, MaxConnections: c.MTA.MaxConnections, Log: s.provider.Logger,
	})}}
}

// submissions are what the access door took with a queue id, as the legal log has it:
// the first time that it came, or another.
func (s *services) submissions(ctx context.Context, queueID string) (found []lifetime.Submission, err error) {
	for rows, err := range s.log.Search(ctx, legallog.Query{QueueID: queueID}) {
		if err != nil {
			return nil, err
		}
		for _, row := range rows {
			if row.Door == point.AccessDoor && row.Kind == point.EventAccepted {
				found = append(found, lifetime.Submission{Accepted: row.Time, Recipients: row.Recipients})
			}
		}
	}
	return found, nil
}
