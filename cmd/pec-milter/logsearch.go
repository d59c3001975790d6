package main

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"os"
	"os/user"
	"slices"
	"strings"
	"time"

	"github.com/pec-milter/pec-milter/internal/legallog"
	"github.com/pec-milter/pec-milter/internal/point"
	"github.com/pec-milter/pec-milter/pec"
)

// reasonOption says why somebody reads the log: it is logged with who he is.
type reasonOption struct {
	Reason string `placeholder:"TEXT" help:"Why: it is written into the legal log, with your user name."`
}

// detail is what the legal log says of a command: who, what, why.
func (r *reasonOption) detail(what string) string {
	who := fmt.Sprint("uid ", os.Getuid())
	if u, err := user.Current(); err == nil {
		who = fmt.Sprintf("%s (uid %s)", u.Username, u.Uid)
	}
	if before := os.Getenv("SUDO_USER"); before != "" {
		who += ", by sudo from " + before
	}
	return who + ": " + what + "; reason: " + cmp.Or(r.Reason, "not given")
}

// legalDay is a day of the legal time, or a moment, of the command line.
type legalDay struct {
	time.Time // the beginning of the day
	whole     bool
}

// UnmarshalText reads 2026-11-25 or 2026-11-25T10:00:00Z.
func (d *legalDay) UnmarshalText(text []byte) (err error) {
	if d.Time, err = time.Parse(time.RFC3339, string(text)); err == nil {
		return nil
	}
	if d.Time, err = time.ParseInLocation(time.DateOnly, string(text), pec.LegalTime(time.Time{}).Location()); err != nil {
		return fmt.Errorf("%q is neither a day like 2026-11-25 nor a time like 2026-11-25T10:00:00Z", text)
	}
	d.whole = true
	return nil
}

// end is the first moment after it.
func (d *legalDay) end() time.Time {
	if d.whole {
		return d.AddDate(0, 0, 1)
	}
	return d.Time
}

// datesOption bounds when messages came into the log.
type datesOption struct {
	From legalDay `placeholder:"DAY" help:"Only messages of this day (2026-11-25, legal time) or later; or a time (RFC 3339)."`
	To   legalDay `placeholder:"DAY" help:"Only messages of this day or earlier; or before a time."`
}

type searchCommand struct {
	Config    string `required:"" type:"path" placeholder:"FILE" help:"The configuration."`
	ID        string `name:"id" placeholder:"MSGID" help:"The PEC msgid, without angle brackets."`
	MessageID string `name:"message-id" placeholder:"MSGID" help:"The user's Message-ID, or that of a notice."`
	Sender    string `placeholder:"ADDRESS" help:"The sender."`
	Recipient string `placeholder:"ADDRESS" help:"A recipient."`
	Domain    string `placeholder:"DOMAIN" help:"The domain of the sender or of a recipient."`
	Subject   string `placeholder:"TEXT" help:"A part of the subject."`
	Kind      string `placeholder:"KIND" help:"Print only rows of this kind: of event (refused), or of notice (avvenuta-consegna)."`
	JSON      bool   `name:"json" help:"Print the rows as log export does."`
	datesOption
	reasonOption
}

// Run logs the search before it prints anything. It may run beside the daemon.
func (x *searchCommand) Run(o out) error {
	if x.Kind != "" && !slices.Contains(rowKinds, x.Kind) {
		return &exit{exitUsage, fmt.Errorf("--kind: %q is none of %s", x.Kind, strings.Join(rowKinds, ", "))}
	}
	_, log, closeLog, err := openExisting(x.Config)
	if err != nil {
		return err
	}
	defer closeLog()
	ctx := context.Background()
	if err := log.Append(ctx, point.SearchedEvent(clock()(), x.detail("log search"+x.filter()))); err != nil {
		return err
	}
	w := bufio.NewWriter(o)
	for message, err := range log.Search(ctx, x.query()) {
		if err == nil {
			err = x.print(w, message)
		}
		if err != nil {
			return err
		}
	}
	return w.Flush()
}

func (x *searchCommand) query() legallog.Query {
	return legallog.Query{
		ID: strings.Trim(x.ID, "<>"), MessageID: x.MessageID, Sender: x.Sender, Recipient: x.Recipient, Domain: x.Domain,
		Subject: x.Subject, Kind: x.Kind, From: x.From.Time, To: x.To.end(),
	}
}

// filter is what is searched for, as the command line has it.
func (x *searchCommand) filter() string {
	var text strings.Builder
	for _, option := range [][2]string{
		{"id", x.ID}, {"message-id", x.MessageID}, {"sender", x.Sender}, {"recipient", x.Recipient}, {"domain", x.Domain},
		{"subject", x.Subject}, {"kind", x.Kind}, {"from", x.From.String()}, {"to", x.To.String()},
	} {
		if option[1] != "" {
			fmt.Fprintf(&text, " --%s %q", option[0], option[1])
		}
	}
	return text.String()
}

// String is the time as it was given; empty for none.
func (d *legalDay) String() string {
	switch {
	case d.IsZero():
		return ""
	case d.whole:
		return d.Format(time.DateOnly)
	}
	return d.Format(time.RFC3339)
}

// print prints the rows of a message, at once: the next one may take a while.
func (x *searchCommand) print(w *bufio.Writer, message []legallog.Row) error {
	for _, row := range message {
		line, err := row.Line()
		if err != nil {
			return err
		}
		if !x.JSON {
			line = []byte(tableLine(&row))
		}
		if _, err := w.Write(line); err != nil {
			return err
		}
	}
	return w.Flush()
}

// tableLine is a row for people: time, what, message, who, and what it says.
func tableLine(row *legallog.Row) string {
	what := string(row.Kind)
	if row.Notice != "" {
		what += " " + string(row.Notice)
	}
	to := row.Delivered
	if to == "" {
		to = strings.Join(row.TakenFor, ",")
	}
	if to == "" {
		for _, r := range row.Recipients {
			to += "," + r.Address
		}
	}
	line := fmt.Sprintf("%s  %-38s  %s  %s -> %s  %q", pec.LegalTime(row.Time).Format("2006-01-02 15:04:05 -0700"), what,
		cmp.Or(row.ID, "-"), cmp.Or(row.Sender, "-"), cmp.Or(strings.TrimPrefix(to, ","), "-"), row.Subject)
	for _, more := range []string{row.ErrorDetail, row.Virus, row.Detail} {
		if more != "" {
			line += "  " + more
		}
	}
	return printable(line) + "\n"
}

// rowKinds are the kinds that rows have, of events and of notices.
var rowKinds = []string{
	string(point.EventAccepted), string(point.EventReceived), string(point.EventRepeated), string(point.EventNotification),
	string(point.EventAnomaly), string(point.EventRefused), string(point.EventDelivering), string(point.EventDelivered), string(point.EventUndelivered),
	string(point.EventIssuing), string(point.EventIssued), string(point.EventSearched), string(point.EventReissued),
	string(point.EventExtracted), string(point.EventRestored), string(point.EventImported),
	string(pec.Acceptance), string(pec.NonAcceptance), string(pec.ServerAcceptance), string(pec.Delivery),
	string(pec.NonDelivery), string(pec.TimeoutNotice), string(pec.VirusDetection),
}
