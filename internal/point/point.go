// Package point keeps the order of steps of a PEC provider's three doors: the
// access point, the incoming point and the delivery point of RFC 6109 section
// 2.2. Every step is a named function; the numbers in the comments are those
// of docs/flow.md.
//
// It reaches every effect through the small interfaces of effects.go and holds
// no rule of the formats: those are in pec. It knows neither milter nor LMTP:
// the doors' front ends translate.
package point

import (
	"context"
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/pec-milter/pec-milter/pec"
)

// Transaction is one SMTP or LMTP transaction as a door took it.
type Transaction struct {
	QueueID     string    // the MTA's, for the log; may be empty
	Time        time.Time // its one time (RFC 6109 section 4.1)
	User        string    // as the MTA authenticated it; empty: not authenticated
	TLS         string    // the version by which the client spoke to the MTA, "TLSv1.3"; empty: in clear
	ReversePath string    // without angle brackets; empty for <>
	Recipients  []string  // forward paths without angle brackets, exactly as received
	Message     pec.Message
	BodyDigest  [32]byte // SHA-256 of the body as received
	// ID is the PEC msgid, for the log: the door sets it once it knows it.
	ID string
}

// withoutBody tells whether the message has none, not even an empty line.
func (t *Transaction) withoutBody() bool { return t.BodyDigest == sha256.Sum256(nil) }

// Handling is what a door does with a transaction, as far as MAIL and RCPT
// tell.
type Handling int

// The zero value is Certify: who forgets to decide certifies.
const (
	Certify   Handling = iota // take the message, then ask Handle
	Untouched                 // ordinary mail of this MTA: not ours, passes as it is
)

// Verdict is what a door decides of a message at its end. The zero value lets
// it pass unmodified.
type Verdict struct {
	// Discard accepts the message and drops it: it is a repeat of one that the
	// queue already has.
	Discard bool
	// Replace, if not nil, takes the place of the whole message, header and body.
	Replace *pec.Signed
	// RemoveRecipients deletes all recipients of the transaction.
	RemoveRecipients bool
	// AddRecipients are added with NOTIFY=NEVER: outbox recipients.
	AddRecipients []string
	// Sent, if not nil, is called after the MTA was told all of the above and
	// just before the accept. If it fails the answer is a temporary failure.
	Sent func(context.Context, time.Time) error
	// Abandoned, if not nil, is called in place of Sent when the verdict is not
	// carried out and nothing of it goes on: a repeat of the message need not wait
	// until the lease of this attempt runs out. It may take a few seconds.
	Abandoned func()
}

// Reply is an SMTP reply that a door gives. As an error it is the only kind
// that may be permanent; any other error means: try again (451).
type Reply struct {
	Code   int    // 250, 451, 550 …
	Status string // enhanced status code, "5.7.1"
	Text   string // one line, for the client: tells nothing of the inside
}

func (r *Reply) Error() string { return fmt.Sprintf("%d %s %s", r.Code, r.Status, r.Text) }

// Permanent tells whether the reply is a 5xx.
func (r *Reply) Permanent() bool { return r.Code >= 500 }

// Identity is who the provider is.
type Identity struct {
	Name        string   // gestore-emittente, as in the directory's providerName
	Domain      string   // the right side of the PEC msgid
	Domains     []string // the certified domains, lower case
	Address     string   // service address: From of envelopes and notices (RFC 6109 section 2.2.6)
	MailReceipt string   // service mailbox (section 2.2.5)
}

// Key names one thing that must be done once: a submission, a delivery, a
// notice. It is a hash of fixed length that shows nothing of the message.
type Key [32]byte

// TransactionID names one recorded attempt of a transaction that owes notices.
type TransactionID [16]byte
