package point

import (
	"time"

	"github.com/pec-milter/pec-milter/pec"
)

// Intent is the record of one attempt of a transaction that owes notices,
// written before anything is done (DESIGN: record, do, record).
type Intent struct {
	ID         TransactionID
	Key        Key // of the submission: the same for a retry with the same bytes
	Generation int // counts the attempts under one key that are messages of their own; from 0
	Door       Door
	Time       time.Time // T0: the transaction's one time
	SentAt     time.Time // zero: the accept was never about to be given
	Committed  time.Time // zero: never seen in the queue
	Facts      Facts
}

// Door names one of the three doors in records and logs.
type Door string

// The doors.
const (
	AccessDoor   Door = "access"
	IncomingDoor Door = "incoming"
	DeliveryDoor Door = "delivery"
)

// Facts is all that the notices of a transaction say. It is stored as JSON, so
// that a notice can be issued, and issued again with the same bytes, without
// the message.
type Facts struct {
	QueueID string                `json:"queue_id,omitempty"`
	Data    pec.CertificationData `json:"data"`
	// Recipients are those of this transaction that are ours: the ones a
	// server-server acceptance speaks for.
	Recipients []string `json:"recipients,omitempty"`
	// Subject is the original Subject field's value as it was encoded.
	Subject string `json:"subject,omitempty"`
	// MailReceipt is where the signer's provider takes server-server acceptances.
	MailReceipt string `json:"mail_receipt,omitempty"`
	// Virus is what the antivirus found; empty: nothing.
	Virus string `json:"virus,omitempty"`
	// BodyDigest is that of a refused submission: it goes through the queue
	// unsigned.
	BodyDigest [32]byte `json:"body_digest,omitzero"`
}

// Wait is what the sender's provider waits for, for one certified recipient of
// one message (RFC 6109 section 3.1.6). Message and recipient name it.
type Wait struct {
	ID          string // PEC msgid
	Recipient   string // in its canonical form
	Transaction TransactionID
	Since       time.Time // T0 of the message
	Taken       time.Time // its provider has taken charge; zero: not yet
	First       time.Time // date of the 12 h notice; zero: not decided
	Last        time.Time // date of the 24 h notice; zero: not decided
}

// Settlement is what a notification ends once it is stored (RFC 6109 section
// 3.1.6), at the time of its outcome. A wait of these that is not there yet begins
// with it: whoever answers may be faster than our own outbox, and one that began
// later would never end. Its zero value ends nothing.
type Settlement struct {
	Taken []Wait // their provider has taken charge; the first time stays
	Ended []Wait // delivery, or failure, was notified
}

// Judgement is what was found of a signed message: by the incoming door of a
// peer's, by ourselves of our own.
type Judgement struct {
	Digest      [32]byte // SHA-256 of the signed content, canonical line ends
	Certificate [32]byte // SHA-256 of the signer's certificate
	Own         bool     // signed by this provider
	Kind        pec.Kind
	Ordinary    bool      // an anomaly envelope of our own around ordinary mail
	MailReceipt string    // of the signer's provider
	Time        time.Time // when it was judged
}

// Outcome is how the delivery of one message to one recipient ended.
type Outcome struct {
	Kind   pec.Kind  // Delivery, NonDelivery; empty where no notice is owed
	Time   time.Time // the date that the notice carries
	Reply  string    // the mailbox store's reply
	Code   string    // Nota 12 code of a NonDelivery: "5.1.1"
	Error  pec.ErrorKind
	Detail string // the text of errore-esteso
}
