package point

import (
	"strings"
	"time"

	"github.com/pec-milter/pec-milter/pec"
)

// Event is one row of the legal log: RFC 6109 section 2.3 and DM 2-11-2005
// art. 11. It holds enough for each notice to be made again without the message.
// Fields that do not apply are empty.
type Event struct {
	Time        time.Time // of a notice: the date that it carries
	Kind        EventKind
	Door        Door
	QueueID     string
	ID          string // PEC msgid, without <>
	Reference   string // the user's Message-ID, with its <>
	Notice      pec.Kind
	NoticeID    string   // Message-ID of the notice, without <>
	NoticeTo    string   // whom a notice of ours is sent to
	Related     []string // Message-IDs of other messages that led to this, without <>
	Sender      string
	Recipients  []pec.Recipient
	ReplyTo     string          // risposte
	Subject     string          // decoded
	Provider    string          // the provider that sent or signed it
	Size        int64           // of the message, or of the notice, in bytes
	ReceiptType pec.ReceiptType // that the sender asked for; of avvenuta-consegna: as it is issued
	Delivered   string          // consegna: the recipient that the row is about
	TakenFor    []string        // ricezione: those that a server-server acceptance speaks for
	Error       pec.ErrorKind   // errore; empty: none
	ErrorDetail string          // errore-esteso
	Virus       string          // what the antivirus found
	Detail      string          // anything else, for people
}

// EventKind is the type of an event of the legal log.
type EventKind string

// The events, in the order in which a message meets them. Each is made by one
// function of this file.
const (
	EventAccepted     EventKind = "accepted"     // access: intent of a submission
	EventReceived     EventKind = "received"     // incoming: an envelope, intent of taking charge
	EventRepeated     EventKind = "repeated"     // access, incoming: the same goes on in a transaction of its own, for the first was never seen in the queue
	EventNotification EventKind = "notification" // incoming: a peer's notification, genuine
	EventAnomaly      EventKind = "anomaly"      // incoming: goes on in an anomaly envelope
	EventRefused      EventKind = "refused"      // refused with a permanent reply, or by non-accettazione
	EventDelivering   EventKind = "delivering"   // delivery begun
	EventDelivered    EventKind = "delivered"    // delivery: stored in the mailbox
	EventUndelivered  EventKind = "undelivered"  // delivery: failed for good
	EventIssuing      EventKind = "issuing"      // a notice is about to be injected
	EventIssued       EventKind = "issued"       // the notice is in the queue
	EventSearched     EventKind = "searched"     // a command: somebody searches the log
	EventReissued     EventKind = "reissued"     // a command: somebody has a notice made again
	EventExtracted    EventKind = "extracted"    // a command: somebody takes evidence from the log
	EventRestored     EventKind = "restored"     // the database was put back to an older state
	EventImported     EventKind = "imported"     // a command: somebody puts sealed rows back
)

// intentEvent: a door has taken a message, or refuses a submission.
func intentEvent(kind EventKind, t *Transaction, intent *Intent) Event {
	event := messageEvent(kind, intent.Door, t, intent.Time, &intent.Facts.Data)
	event.Virus = intent.Facts.Virus
	return event
}

// repeatedEvent: a message whose intent there is came again, and goes on with it.
func repeatedEvent(t *Transaction, intent *Intent) Event {
	event := intentEvent(EventRepeated, t, intent)
	event.Time = pec.LegalTime(t.Time)
	return event
}

// notificationEvent: a peer's correct notification came.
func notificationEvent(t *Transaction, kind pec.Kind, d *pec.CertificationData) Event {
	event := messageEvent(EventNotification, IncomingDoor, t, pec.LegalTime(t.Time), d)
	event.Notice, event.NoticeID = kind, bareID(t.Message.Header)
	return event
}

// anomalyEvent: a message that is no correct PEC message goes on in an anomaly
// envelope.
func anomalyEvent(door Door, t *Transaction, problems []string) Event {
	event := transactionEvent(EventAnomaly, door, t)
	event.Detail = strings.Join(problems, "; ")
	return event
}

// refusedEvent: a message was refused with a permanent reply.
func refusedEvent(door Door, t *Transaction, reasons []string, virus string) Event {
	event := transactionEvent(EventRefused, door, t)
	event.Detail, event.Virus = strings.Join(reasons, "; "), virus
	return event
}

// deliveringEvent: the store is about to be given a message.
func deliveringEvent(t *Transaction, m *message, recipient string) Event {
	return deliveryEvent(EventDelivering, t, m, recipient)
}

// outcomeEvent: the store has taken a message, or refused it for good.
func outcomeEvent(t *Transaction, m *message, recipient string, outcome *Outcome, delivered bool) Event {
	kind := EventUndelivered
	if delivered {
		kind = EventDelivered
	}
	event := deliveryEvent(kind, t, m, recipient)
	event.Time, event.Error, event.ErrorDetail, event.Detail = outcome.Time, outcome.Error, outcome.Detail, outcome.Reply
	return event
}

// givenUpEvent: the MTA reports that it has given up a notice of ours.
func givenUpEvent(t *Transaction, m *message, recipient, report string) Event {
	event := deliveryEvent(EventUndelivered, t, m, recipient)
	event.Detail = report
	return event
}

// lostEvent: an outbox recipient is given up, and its notice with it.
func lostEvent(t *Transaction, recipient string, cause error) Event {
	event := transactionEvent(EventUndelivered, DeliveryDoor, t)
	event.Delivered, event.Detail = recipient, cause.Error()
	return event
}

// issuingEvent: a notice of ours, of that size, is about to be injected.
func issuingEvent(queueID string, n *pec.Notice, size int64, related []string) Event {
	event := dataEvent(EventIssuing, DeliveryDoor, queueID, n.Data.Time, &n.Data)
	event.Notice, event.NoticeID, event.NoticeTo = n.Data.Kind, n.ID, n.To
	event.Size, event.Virus, event.Related = size, n.Virus, related
	if n.Type != "" {
		event.ReceiptType = n.Type
	}
	return event
}

// issuedEvent: the notice that was about to be injected is in the queue.
func issuedEvent(issuing Event) Event {
	issuing.Kind = EventIssued
	return issuing
}

// deliveryEvent is about one delivery.
func deliveryEvent(kind EventKind, t *Transaction, m *message, recipient string) Event {
	event := transactionEvent(kind, DeliveryDoor, t)
	if m.data != nil {
		event = messageEvent(kind, DeliveryDoor, t, pec.LegalTime(t.Time), m.data)
	}
	if m.Kind != pec.Envelope && m.data != nil {
		event.Notice, event.NoticeID = m.Kind, m.noticeID
	}
	event.Delivered = recipient
	return event
}

// messageEvent is about a message that has certification data.
func messageEvent(kind EventKind, door Door, t *Transaction, at time.Time, d *pec.CertificationData) Event {
	event := dataEvent(kind, door, t.QueueID, at, d)
	event.Size = t.Message.Size()
	return event
}

// transactionEvent is about a message that has no certification data.
func transactionEvent(kind EventKind, door Door, t *Transaction) Event {
	event := Event{
		Time: pec.LegalTime(t.Time), Kind: kind, Door: door, QueueID: t.QueueID, Sender: t.ReversePath,
		Reference: pec.MessageID(t.Message.Header), Subject: pec.Subject(t.Message.Header), Size: t.Message.Size(),
	}
	for _, r := range t.Recipients {
		event.Recipients = append(event.Recipients, pec.Recipient{Address: r, Kind: pec.Certified})
	}
	return event
}

// dataEvent is what certification data say.
func dataEvent(kind EventKind, door Door, queueID string, at time.Time, d *pec.CertificationData) Event {
	event := Event{
		Time: at, Kind: kind, Door: door, QueueID: queueID, ID: d.ID, Reference: d.Reference, Sender: d.Sender,
		Recipients: d.Recipients, ReplyTo: d.ReplyTo, Subject: d.Subject, Provider: d.Provider, ReceiptType: d.ReceiptType,
		Delivered: d.Delivered, TakenFor: d.TakenFor, Error: d.Error, ErrorDetail: d.Detail,
	}
	if event.Error == pec.NoError {
		event.Error = ""
	}
	return event
}

// SearchedEvent: somebody searches the legal log. detail is who, for what and why.
func SearchedEvent(at time.Time, detail string) Event {
	return Event{Time: at, Kind: EventSearched, Detail: detail}
}

// ReissuedEvent: somebody has a notice made again, which gets a Message-ID of its
// own, without <>.
func ReissuedEvent(at time.Time, issued Event, noticeID, detail string) Event {
	issued.Time, issued.Kind, issued.Detail, issued.Size = at, EventReissued, detail, 0
	issued.Related, issued.NoticeID, issued.NoticeTo = []string{issued.NoticeID}, noticeID, ""
	return issued
}

// ExtractedEvent: somebody takes evidence about a message, known by a row about it.
func ExtractedEvent(at time.Time, about Event, detail string) Event {
	return Event{
		Time: at, Kind: EventExtracted, ID: about.ID, Reference: about.Reference, Sender: about.Sender,
		Recipients: about.Recipients, Subject: about.Subject, Detail: detail,
	}
}

// RestoredEvent: the legal log's database has lost rows. detail says which.
func RestoredEvent(at time.Time, detail string) Event {
	return Event{Time: at, Kind: EventRestored, Detail: detail}
}

// ImportedEvent: somebody puts rows back that are sealed. detail is who, what and why.
func ImportedEvent(at time.Time, detail string) Event {
	return Event{Time: at, Kind: EventImported, Detail: detail}
}
