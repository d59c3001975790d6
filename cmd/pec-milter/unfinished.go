package main

import (
	"context"
	"log/slog"
	"time"

	"github.com/pec-milter/pec-milter/internal/point"
)

// queueLifetime is how long the MTA keeps a message (RFC 6109 section 2.2.2).
const queueLifetime = 24 * time.Hour

// unfinished reports the transactions that were about to be accepted and were
// never seen in the queue.
type unfinished struct {
	log interface {
		Unfinished(context.Context) ([]*point.Intent, error)
	}
	logger *slog.Logger
	looked time.Time // up to then all were reported; zero: never
}

// report names those that are late; after the first time, those that became so
// since the last. A late one has left the queue unseen: mostly the MTA never had
// it and the client was told so; but an outbox recipient that expired in the
// queue vanishes the same way, and with it the notice.
func (u *unfinished) report(ctx context.Context, now time.Time) error {
	intents, err := u.log.Unfinished(ctx)
	if err != nil {
		return err
	}
	waiting := 0
	for _, i := range intents {
		late := i.SentAt.Add(queueLifetime)
		switch {
		case late.After(now):
			waiting++
		case late.After(u.looked):
			u.logger.Error("sent, but never seen in the queue: look for its queue id in the MTA's log; if the message went out, its notice is owed",
				"queue_id", i.Facts.QueueID, "id", i.Facts.Data.ID, "sender", i.Facts.Data.Sender, "sent", i.SentAt)
		}
	}
	if waiting > 0 && u.looked.IsZero() {
		u.logger.Info("messages that the queue may still have", "count", waiting)
	}
	u.looked = now
	return nil
}
