package point

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/pec-milter/pec-milter/pec"
)

// Each kind of event has what a row of it must have (RFC 6109 section 2.3, DM
// 2-11-2005 art. 11).
func TestEventsAreComplete(t *testing.T) {
	header := pec.Header{pec.NewField("Message-ID", "<user@casa.example>"), pec.NewField("Subject", "S")}
	transaction := &Transaction{
		QueueID: "4XyZ", Time: time.Date(2026, 3, 29, 1, 2, 3, 0, time.UTC), ReversePath: "anna@alfa.example",
		Recipients: []string{"bruno@alfa.example"}, Message: pec.Message{Header: header, Body: strings.NewReader("text\r\n")},
	}
	data := pec.CertificationData{
		Kind: pec.NonDelivery, Error: pec.VirusFound, Sender: "anna@alfa.example", ReplyTo: "anna@alfa.example", Subject: "S",
		Recipients: []pec.Recipient{{Address: "bruno@alfa.example", Kind: pec.Certified}}, Provider: "Alfa", Time: transaction.Time,
		ID: "1@alfa.example", Reference: "<user@casa.example>", ReceiptType: pec.Brief, Delivered: "bruno@alfa.example",
		TakenFor: []string{"bruno@alfa.example"}, Detail: "5.5.1 - Alfa",
	}
	intent := &Intent{Door: AccessDoor, Time: transaction.Time, Facts: Facts{Data: data, Virus: "Eicar"}}
	envelope := &message{Judgement: Judgement{Kind: pec.Envelope}, data: &data}
	outcome := &Outcome{Kind: pec.NonDelivery, Time: transaction.Time, Reply: "550 no", Error: pec.WrongMailbox, Detail: "5.1.1 - Alfa"}
	notice := &pec.Notice{Data: data, ID: "2@alfa.example", To: "anna@alfa.example", Type: pec.Complete, Virus: "Eicar"}
	issuing := issuingEvent("4XyZ", notice, 10, []string{"bounce@mta.example"})
	tests := []struct {
		event Event
		want  string // beside time, kind, door, queue id, sender, recipients, subject and size
	}{
		{intentEvent(EventAccepted, transaction, intent), "id reference provider reply-to receipt-type error detail virus"},
		{intentEvent(EventReceived, transaction, intent), "id reference provider reply-to receipt-type error detail virus"},
		{repeatedEvent(transaction, intent), "id reference provider reply-to receipt-type error detail virus"},
		{notificationEvent(transaction, pec.NonDelivery, &data), "id reference provider reply-to receipt-type error detail notice delivered"},
		{anomalyEvent(IncomingDoor, transaction, []string{"a", "b"}), "reference free"},
		{refusedEvent(IncomingDoor, transaction, []string{"virus: Eicar"}, "Eicar"), "reference free virus"},
		{deliveringEvent(transaction, envelope, "bruno@alfa.example"), "id reference provider delivered"},
		{outcomeEvent(transaction, envelope, "bruno@alfa.example", outcome, true), "id reference provider delivered free"},
		{outcomeEvent(transaction, envelope, "bruno@alfa.example", outcome, false), "id reference provider delivered error detail free"},
		{givenUpEvent(transaction, &message{}, "ricevute@alfa.example", "report"), "reference delivered free"},
		{lostEvent(transaction, "accettazione@outbox", errors.New("not recorded")), "reference delivered free"},
		{issuing, "id reference provider reply-to receipt-type error detail virus notice to delivered related"},
		{issuedEvent(issuing), "id reference provider reply-to receipt-type error detail virus notice to delivered related"},
	}
	for _, test := range tests {
		e := test.event
		has := map[string]bool{
			"id": e.ID != "", "reference": e.Reference != "", "provider": e.Provider != "", "reply-to": e.ReplyTo != "",
			"receipt-type": e.ReceiptType != "", "error": e.Error != "", "detail": e.ErrorDetail != "", "virus": e.Virus != "",
			"notice": e.Notice != "" && e.NoticeID != "", "to": e.NoticeTo != "", "delivered": e.Delivered != "",
			"related": len(e.Related) == 1, "free": e.Detail != "",
		}
		for _, field := range strings.Fields(test.want) {
			if !has[field] {
				t.Errorf("%s: no %s in %+v", e.Kind, field, e)
			}
		}
		if e.Time.IsZero() || e.Kind == "" || e.Door == "" || e.QueueID == "" || e.Sender == "" || len(e.Recipients) == 0 || e.Subject == "" || e.Size == 0 {
			t.Errorf("%s: %+v lacks what every row has", e.Kind, e)
		}
	}
	if issuing.ReceiptType != pec.Complete {
		t.Errorf("receipt type %s of a notice, want %s, as it is issued", issuing.ReceiptType, pec.Complete)
	}
}
