package point

import (
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"io"
	"time"

	"github.com/pec-milter/pec-milter/pec"
)

// The effects of the doors. A test can make each fail; nothing else in this
// package touches the world. Every error of theirs is temporary (the MTA keeps
// the mail) unless it is a *Reply that says otherwise. All are safe for
// concurrent use.

// Trust gives what signatures are judged by. The value stays as it is for the
// time of one transaction. An error (no directory, directory too old, CRL
// missing) is never taken for "not certified".
type Trust interface {
	Current() (*pec.Trust, error)
}

// Accounts knows the holders' mailboxes of the certified domains.
type Accounts interface {
	// Owns tells whether an authenticated user may send as an address.
	Owns(user, address string) bool
	// Policy is what a mailbox wants done with ordinary mail. A mailbox that
	// is not known refuses.
	Policy(address string) OrdinaryPolicy
}

// OrdinaryPolicy is what becomes of ordinary mail for a certified mailbox. Its
// zero value refuses it (554).
type OrdinaryPolicy struct {
	Accept  bool   // delivered in an anomaly envelope
	Forward string // handed on to this address as it came; empty: not
}

// Scanner is the antivirus.
type Scanner interface {
	Scan(ctx context.Context, message io.WriterTo) (Finding, error)
}

// Finding is what the antivirus found. Its zero value is a clean message.
type Finding struct {
	Virus     string // the name of what was found; empty: nothing
	Limits    bool   // not all of it could be looked at: too large, too deep
	Encrypted bool   // a part is encrypted
}

// Quarantine keeps infected messages for 30 months (RFC 6109 section 2.2.4).
type Quarantine interface {
	// Put keeps a message; the same id again changes nothing.
	Put(ctx context.Context, item Infected, message io.WriterTo) error
}

// Infected is what is kept beside an infected message.
type Infected struct {
	ID         string // hexadecimal digits: names it in the quarantine
	Time       time.Time
	Door       Door
	QueueID    string
	MessageID  string // PEC msgid, without <>; empty where there is none
	Reference  string // Message-ID as it came
	Sender     string
	Recipients []string
	Virus      string
}

// Signer is the provider's key and certificates.
type Signer interface {
	// Current is the key to sign with now, and its chain: the signing
	// certificate first, then its intermediates. The key signs digests and may
	// be a token that fails.
	Current() (crypto.Signer, []*x509.Certificate, error)
	// Earlier are the keys and chains of before that are still there, if any: what
	// was signed with one of them is signed with it again.
	Earlier() []Credential
}

// Credential is a key with its chain, as in Signer.Current.
type Credential struct {
	Key   crypto.Signer
	Chain []*x509.Certificate
}

// Injector hands a notice to the MTA by a port that has no milter. nil means
// that the MTA's queue has it.
type Injector interface {
	Inject(ctx context.Context, reversePath, recipient string, message io.WriterTo) error
}

// MailStore keeps the mailboxes (Dovecot). Store returns the store's reply to
// the data, for the log, or as error a *Reply with the store's own code.
type MailStore interface {
	Store(ctx context.Context, reversePath, recipient string, message io.WriterTo) (receipt string, err error)
}

// State says who works on what just now, for all nodes. It may forget: SQL
// (Records, Log) is the authority, and knows all that is done.
type State interface {
	// Lease takes key for at most ttl, for as long as the returned function is
	// not called; ok is false while somebody else holds it.
	Lease(ctx context.Context, key Key, ttl time.Duration) (release func(), ok bool, err error)
}

// Log is the legal log (RFC 6109 section 2.3): append-only, durable when
// Append returns.
type Log interface {
	Append(ctx context.Context, events ...Event) error
	// Logged tells whether an event of this kind, with this notice id, is there.
	Logged(ctx context.Context, kind EventKind, noticeID string) (bool, error)
	// Failed tells whether a notice that ends the message's way without success
	// (non-accettazione, errore-consegna, the 24 h notice) was issued by us or
	// received from a peer for the PEC msgid.
	Failed(ctx context.Context, id string) (bool, error)
	// Ended tells whether the delivery to a recipient of what the MTA's queue had
	// under this id ended. messageID is the PEC msgid of an envelope, or the id of a
	// notice.
	Ended(ctx context.Context, queueID, messageID, recipient string) (bool, error)
}

// ErrConflict means that somebody else recorded something else under the same
// key in the meantime.
var ErrConflict = errors.New("recorded by another attempt")

// ErrUnknown means that nothing is recorded under that key.
var ErrUnknown = errors.New("not recorded")

// Records keeps what decides about a message's fate: intents, verdicts,
// claims, deliveries. Every method is one durable, atomic step; what was
// recorded once is never changed.
type Records interface {
	// LatestIntent is the intent of the highest generation for a key, or ErrUnknown.
	LatestIntent(ctx context.Context, key Key) (*Intent, error)
	// Submission is the intent of the access door's message with this PEC msgid,
	// or ErrUnknown.
	Submission(ctx context.Context, msgid string) (*Intent, error)
	// Intent finds an intent by its transaction, or ErrUnknown.
	Intent(ctx context.Context, id TransactionID) (*Intent, error)
	// AddIntent records a new intent and its legal-log rows in one step. last is
	// the generation before, as it was read; nil for the first. ErrConflict if
	// the intent's id, or its key and generation, are taken, or if last was sent
	// or committed since it was read: then it is not void.
	AddIntent(ctx context.Context, intent, last *Intent, events ...Event) error
	// MarkSent records, in one step, that the accept is about to be given, and what
	// was judged of the message that goes on, as PutVerdict; a later call replaces
	// the time. ErrConflict, and nothing recorded, once the key has a later generation.
	MarkSent(ctx context.Context, id TransactionID, at time.Time, verdicts ...Judgement) error
	// MarkCommitted records that the message was seen in the queue; the first
	// time stays. In the same step it records what we wait for (a wait that is there
	// already stays), claims the keys for this transaction and returns, for each,
	// whether it is this transaction's (now or from before).
	MarkCommitted(ctx context.Context, id TransactionID, at time.Time, claims []Key, waits ...Wait) (own []bool, err error)

	// PutVerdict records what was judged of a signed content, with its legal-log
	// rows, in one step; a second verdict for the same digest and signer replaces the
	// first.
	PutVerdict(ctx context.Context, verdict Judgement, events ...Event) error
	// Verdict is what was recorded for a digest and a signer's certificate, or
	// ErrUnknown.
	Verdict(ctx context.Context, digest, certificate [32]byte) (*Judgement, error)

	// BeginDelivery records that a message is about to be handed to the mailbox store,
	// with its legal-log rows, in one step. again: so it was before, and may be stored.
	BeginDelivery(ctx context.Context, key Key, events ...Event) (again bool, err error)
	// PutOutcome records how a delivery ended, what it settles, and its legal-log
	// rows, in one step. If the key has an outcome already, that one is returned and
	// nothing is written.
	PutOutcome(ctx context.Context, key Key, outcome Outcome, settled Settlement, events ...Event) (Outcome, error)
	// Outcome is how a delivery ended, or ErrUnknown.
	Outcome(ctx context.Context, key Key) (*Outcome, error)

	// Waits are those that began at that time or before and are not over, the
	// oldest first.
	Waits(ctx context.Context, before time.Time) ([]Wait, error)
	// DecideFirst fixes the date of the 12 h notice of a wait, if nothing came
	// for it so far; DecideLast that of the 24 h notice, if it has not ended. The
	// first decision stays. They return the wait as it is then: in one step, so
	// that no notice says "not received" after it was.
	DecideFirst(ctx context.Context, w Wait, at time.Time) (Wait, error)
	DecideLast(ctx context.Context, w Wait, at time.Time) (Wait, error)
	// Over ends a wait: nothing more will be notified.
	Over(ctx context.Context, w Wait) error
}
