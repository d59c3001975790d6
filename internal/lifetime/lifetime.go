// Package lifetime tells Sendmail when a recipient has waited long enough: RFC 6109
// section 2.2.2 gives a message 24 hours. Sendmail has one lifetime for all mail, in
// which outbox recipients and our own mailboxes must stay longer; but it can ask a
// socket map for each recipient, and each time it tries (contrib/sendmail).
//
// It speaks the server's side of that protocol, in netstrings, and decides from what
// the legal log has, never from memory. It expires nothing that it is in doubt about:
// a temporary failure leaves the mail in the queue.
package lifetime

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/pec-milter/pec-milter/internal/point"
	"github.com/pec-milter/pec-milter/pec"
)

// Limit is how long a certified message to another provider may wait.
const Limit = 24 * time.Hour

// Submission is a message that the access door has certified.
type Submission struct {
	Accepted   time.Time // T0: its one time
	Recipients []pec.Recipient
}

// Judge decides about recipients. All fields are needed, but for Trouble.
type Judge struct {
	// Submissions finds, in what is recorded, the messages that had a queue id; none if
	// it was no certified message. It must be safe for concurrent use.
	Submissions func(ctx context.Context, queueID string) ([]Submission, error)
	Domains     []string // certified by us, in lower case
	Clock       point.Clock
	// Trouble tells why the clock is not believed; nil: it always is.
	Trouble func() error
}

// Expired tells whether a recipient of a queued message has had its 24 hours. An error
// means that it cannot be told now.
//
// Those of our own domains, and the outbox, never have: they wait for our own delivery
// door, which gives a mailbox up with a signed notice at 23 hours and queues an outbox
// recipient afresh after 12. If that door was down for a day, they are what is left of
// the message, and a bounce or nothing at all would take the place of a signed notice.
// Mail that we have not certified has the MTA's own lifetime.
func (j *Judge) Expired(ctx context.Context, queueID, recipient string) (bool, error) {
	domain := pec.Domain(recipient)
	if queueID == "" || domain == point.OutboxDomain || slices.Contains(j.Domains, domain) {
		return false, nil
	}
	submissions, err := j.Submissions(ctx, queueID)
	if err != nil {
		return false, fmt.Errorf("looking for queue id %s: %w", queueID, err)
	}
	accepted := youngest(submissions, recipient)
	if accepted.IsZero() || j.Clock().Sub(accepted) < Limit {
		return false, nil
	}
	if j.Trouble != nil {
		err = j.Trouble()
	}
	return err == nil, err
}

// youngest is when the last of the messages with that recipient was accepted; zero:
// none has it. A queue id names one message; if ever it has named two, the older one
// must not end the other.
func youngest(submissions []Submission, recipient string) (accepted time.Time) {
	for _, s := range submissions {
		has := slices.ContainsFunc(s.Recipients, func(r pec.Recipient) bool { return pec.SameAddress(r.Address, recipient) })
		if has && s.Accepted.After(accepted) {
			accepted = s.Accepted
		}
	}
	return accepted
}
