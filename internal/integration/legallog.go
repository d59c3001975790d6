package integration

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"github.com/pec-milter/pec-milter/internal/legallog"
	"github.com/pec-milter/pec-milter/internal/point"
	"github.com/pec-milter/pec-milter/pec"
)

// LogRow is a row of the legal log as "pec-milter log export" prints it.
type LogRow struct {
	Time       time.Time       `json:"time"`
	Kind       point.EventKind `json:"kind"`
	Door       point.Door      `json:"door"`
	ID         string          `json:"id"`
	Reference  string          `json:"reference"`
	Notice     pec.Kind        `json:"notice"`
	NoticeID   string          `json:"notice_id"`
	Sender     string          `json:"sender"`
	Recipients []pec.Recipient `json:"recipients"`
	Subject    string          `json:"subject"`
	Delivered  string          `json:"delivered"` // the one recipient that the row is about
	TakenFor   []string        `json:"taken_for"` // those that a presa-in-carico speaks for
	Detail     string          `json:"detail"`
}

// LegalLog exports the provider's legal log: as it is printed, and its rows.
func (p *Provider) LegalLog() (printed []byte, rows []LogRow, err error) {
	printed, err = p.Command("log", "export", "--config", p.ConfigFile())
	if err != nil {
		return nil, nil, fmt.Errorf("legal log of %s: %w", p.Name, err)
	}
	for line := range bytes.Lines(printed) {
		var row LogRow
		if err := json.Unmarshal(line, &row); err != nil {
			return nil, nil, fmt.Errorf("legal log of %s: %q: %w", p.Name, line, err)
		}
		rows = append(rows, row)
	}
	return printed, rows, nil
}

// AboutMessage is a rule of the daily log that is broken, and the addresses of the
// message.
type AboutMessage struct {
	legallog.Breach
	Addresses []string
}

// Audit checks the provider's legal log by the rules for a day's finished messages.
func (p *Provider) Audit() ([]AboutMessage, error) {
	_, rows, err := p.LegalLog()
	if err != nil {
		return nil, err
	}
	addresses := make(map[string][]string)
	breaches, err := legallog.Audit(func(yield func(legallog.Row, error) bool) {
		for _, row := range rows {
			addresses[row.ID] = append(addresses[row.ID], row.Sender)
			for _, r := range row.Recipients {
				addresses[row.ID] = append(addresses[row.ID], r.Address)
			}
			if !yield(row.asRow(), nil) {
				return
			}
		}
	})
	var about []AboutMessage
	for _, b := range breaches {
		about = append(about, AboutMessage{b, addresses[b.ID]})
	}
	return about, err
}

func (r LogRow) asRow() legallog.Row {
	return legallog.Row{Event: point.Event{
		Time: r.Time, Kind: r.Kind, Door: r.Door, ID: r.ID, Reference: r.Reference, Notice: r.Notice, NoticeID: r.NoticeID,
		Sender: r.Sender, Recipients: r.Recipients, Subject: r.Subject, Delivered: r.Delivered, TakenFor: r.TakenFor, Detail: r.Detail,
	}}
}
