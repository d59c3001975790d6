package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/pec-milter/pec-milter/internal/legallog"
	"github.com/pec-milter/pec-milter/internal/point"
	"github.com/pec-milter/pec-milter/pec"
)

type explainCommand struct {
	Config string `required:"" type:"path" placeholder:"FILE" help:"The configuration."`
	ID     string `arg:"" placeholder:"ID" help:"The PEC msgid, the MTA's queue id, the user's Message-ID, or the Message-ID of a notice."`
	JSON   bool   `name:"json" help:"One JSON object a line."`
	reasonOption
}

// Run tells what happened to a message. It may run beside the daemon; that somebody
// looked is logged first.
func (x *explainCommand) Run(o out) error {
	_, log, closeLog, err := openExisting(x.Config)
	if err != nil {
		return err
	}
	defer closeLog()
	ctx := context.Background()
	if err := log.Append(ctx, point.SearchedEvent(clock()(), x.detail(fmt.Sprintf("explain %q", x.ID)))); err != nil {
		return err
	}
	messages, err := findMessages(ctx, log, x.ID)
	if err != nil {
		return err
	}
	if len(messages) == 0 {
		return &exit{1, fmt.Errorf("the legal log has no message with the PEC msgid, queue id or Message-ID %q: what a door refused at MAIL or RCPT, or put off with 4xx, "+
			"is in the daemon's log alone", x.ID)}
	}
	w := bufio.NewWriter(o)
	for n, message := range messages {
		if n > 0 && !x.JSON {
			fmt.Fprintln(w)
		}
		for _, row := range message {
			if err := x.print(w, &row); err != nil {
				return err
			}
		}
	}
	return w.Flush()
}

// findMessages finds by what the id can be, the first that there is. A queue id may
// have been of several messages, one after the other.
func findMessages(ctx context.Context, log *legallog.Log, id string) (found [][]legallog.Row, err error) {
	bare := strings.Trim(id, "<>")
	for _, q := range []legallog.Query{{ID: bare}, {MessageID: bare}, {QueueID: bare}} {
		for message, err := range log.Search(ctx, q) {
			if err != nil {
				return nil, err
			}
			found = append(found, message)
		}
		if len(found) > 0 {
			return found, nil
		}
	}
	return nil, nil
}

// explained is a row in plain English.
type explained struct {
	Time    time.Time `json:"time"`
	QueueID string    `json:"queue_id,omitempty"`
	ID      string    `json:"id,omitempty"`
	Kind    string    `json:"kind"`
	Text    string    `json:"text"`
}

func (x *explainCommand) print(w *bufio.Writer, row *legallog.Row) error {
	e := explained{row.Time, row.QueueID, row.ID, string(row.Kind), printable(sentence(&row.Event))}
	if x.JSON {
		encoder := json.NewEncoder(w)
		encoder.SetEscapeHTML(false) // addresses stay readable
		return encoder.Encode(e)
	}
	_, err := fmt.Fprintf(w, "%s  %-12s  %s\n", pec.LegalTime(e.Time).Format("2006-01-02 15:04:05 -0700"), printable(cmp.Or(e.QueueID, "-")), e.Text)
	return err
}

// sentence says what an event was.
func sentence(e *point.Event) string {
	switch e.Kind {
	case point.EventAccepted:
		return fmt.Sprintf("The access point took the message %s of %s for %s (subject %q, %d bytes). It certifies it.", cmp.Or(e.ID, e.Reference), e.Sender, names(e), e.Subject, e.Size)
	case point.EventReceived:
		return fmt.Sprintf("The incoming point took the envelope %s of the provider %s, from %s for %s.", e.ID, e.Provider, e.Sender, names(e)) + infected(e)
	case point.EventRepeated:
		return fmt.Sprintf("The message %s came again, for its sender had no answer, and goes on with the same id and time.", cmp.Or(e.ID, e.Reference))
	case point.EventNotification:
		return fmt.Sprintf("The incoming point took the notice %s of the provider %s about message %s%s.", e.Notice, e.Provider, e.ID, about(e))
	case point.EventAnomaly:
		return fmt.Sprintf("A message of %s for %s is no correct PEC message and goes on in an anomaly envelope: %s.", cmp.Or(e.Sender, "<>"), names(e), e.Detail)
	case point.EventRefused:
		return refusedSentence(e)
	case point.EventDelivering, point.EventDelivered, point.EventUndelivered:
		return deliverySentence(e)
	case point.EventIssuing:
		return fmt.Sprintf("The notice %s%s is made, signed, and about to be sent to %s.", e.Notice, about(e), e.NoticeTo)
	case point.EventIssued:
		return fmt.Sprintf("The notice %s%s for %s is in the MTA's queue, with Message-ID %s.", e.Notice, about(e), e.NoticeTo, e.NoticeID)
	case point.EventSearched:
		return "Somebody searched the legal log: " + e.Detail + "."
	case point.EventReissued:
		return fmt.Sprintf("Somebody had the notice %s made again: %s.", e.Notice, e.Detail)
	case point.EventExtracted:
		return "Somebody took evidence: " + e.Detail + "."
	}
	return string(e.Kind)
}

func refusedSentence(e *point.Event) string {
	reason := cmp.Or(strings.TrimSpace(e.ErrorDetail), e.Detail, "no reason logged")
	if e.Door == point.AccessDoor {
		return fmt.Sprintf("The access point refuses the message %s of %s for %s, who gets non-accettazione: %s.", cmp.Or(e.ID, e.Reference), e.Sender, names(e), reason) + infected(e)
	}
	return fmt.Sprintf("The incoming point refused a message of %s for %s with a 5xx: %s.", cmp.Or(e.Sender, "<>"), names(e), reason) + infected(e)
}

// deliverySentence: the message itself has no notice's name, a notice that is
// delivered to one of ours has.
func deliverySentence(e *point.Event) string {
	what := "the message"
	if e.Notice != "" {
		what = "the notice " + string(e.Notice)
	}
	switch e.Kind {
	case point.EventDelivering:
		return fmt.Sprintf("The delivery point gives %s to the mailbox of %s.", what, e.Delivered)
	case point.EventDelivered:
		return fmt.Sprintf("The mailbox of %s has %s; its server said %q.", e.Delivered, what, e.Detail)
	}
	why := cmp.Or(strings.TrimSpace(e.ErrorDetail), e.Detail, "no reason logged")
	return fmt.Sprintf("%s is not delivered to %s, for good: %s.", strings.ToUpper(what[:1])+what[1:], e.Delivered, why)
}

// names are the recipients, with the kind of each.
func names(e *point.Event) string {
	var all []string
	for _, r := range e.Recipients {
		all = append(all, fmt.Sprintf("%s (%s)", r.Address, r.Kind))
	}
	return cmp.Or(strings.Join(all, ", "), "nobody")
}

// about is whom a notice speaks of, where it is not about the whole message.
func about(e *point.Event) string {
	of := cmp.Or(e.Delivered, strings.Join(e.TakenFor, ", "))
	if of == "" {
		return ""
	}
	return " about " + of
}

func infected(e *point.Event) string {
	if e.Virus == "" {
		return ""
	}
	return fmt.Sprintf(" The antivirus found %s: the message is in quarantine, and nobody gets it.", e.Virus)
}
