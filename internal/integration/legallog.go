package integration

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
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
	printed, err := p.Command("log", "audit", "--json", "--config", p.ConfigFile())
	var bad *exec.ExitError
	if err != nil && (!errors.As(err, &bad) || bad.ExitCode() != 1) {
		return nil, fmt.Errorf("legal log of %s: %w", p.Name, err)
	}
	var about []AboutMessage
	for line := range bytes.Lines(printed) {
		var b legallog.Breach
		if err := json.Unmarshal(line, &b); err != nil {
			return nil, fmt.Errorf("legal log of %s: %q: %w", p.Name, line, err)
		}
		about = append(about, AboutMessage{b, append(b.Recipients, b.Sender)})
	}
	if (len(about) > 0) != (bad != nil) {
		return nil, fmt.Errorf("legal log of %s: %d breaches, and the command ended with: %v", p.Name, len(about), err)
	}
	return about, nil
}
