package main

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/pec-milter/pec-milter/internal/point"
	"github.com/pec-milter/pec-milter/pec"
)

// TestSubmissions: what Sendmail is told comes from the legal log: the messages that the
// access door took with that queue id, and nothing else that has it.
func TestSubmissions(t *testing.T) {
	log, db := openLog(t, filepath.Join(t.TempDir(), "pec.db"))
	accepted := point.Event{
		Time: time.Date(2026, 3, 2, 10, 0, 0, 0, time.UTC), Kind: point.EventAccepted, Door: point.AccessDoor, QueueID: "6AU0A9kv011406",
		ID: "a@alfa.example", Sender: "a@alfa.example", Recipients: []pec.Recipient{{Address: "b@beta.example", Kind: pec.Certified}},
	}
	later, incoming, refused, another, repeated := accepted, accepted, accepted, accepted, accepted
	later.Kind, later.Time = point.EventIssued, accepted.Time.Add(time.Hour)
	incoming.Kind, incoming.Door, incoming.ID = point.EventReceived, point.IncomingDoor, "b@beta.example"
	refused.Kind, refused.ID = point.EventRefused, "c@alfa.example"
	another.QueueID, another.ID = "6AU0A9kv011407", "d@alfa.example"
	repeated.Kind, repeated.QueueID, repeated.Time = point.EventRepeated, "6AU0A9kv011409", accepted.Time.Add(5*time.Minute)
	if err := log.Append(context.Background(), accepted, later, incoming, refused, another, repeated); err != nil {
		t.Fatal(err)
	}
	s := &services{log: log}
	for _, id := range []string{accepted.QueueID, repeated.QueueID} {
		found, err := s.submissions(t.Context(), id)
		if err != nil || len(found) != 1 || !found[0].Accepted.Equal(accepted.Time) || found[0].Recipients[0].Address != "b@beta.example" {
			t.Errorf("submissions(%s) = %v, %v, want the one of 10:00", id, found, err)
		}
	}
	if found, err := s.submissions(t.Context(), "6AU0A9kv011408"); err != nil || len(found) != 0 {
		t.Errorf("submissions of an unknown queue id = %v, %v, want none", found, err)
	}
	db.Close()
	if found, err := s.submissions(t.Context(), accepted.QueueID); err == nil {
		t.Errorf("submissions without a database = %v, want an error", found)
	}
}
