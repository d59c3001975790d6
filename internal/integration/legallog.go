package integration

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"github.com/pec-milter/pec-milter/internal/point"
	"github.com/pec-milter/pec-milter/pec"
)

// LogRow is a row of the legal log as "pec-milter log export" prints it.
type LogRow struct {
	Time       time.Time       `json:"time"`
	Kind       point.EventKind `json:"kind"`
	Door       point.Door      `json:"door"`
	ID         string          `json:"id"`
	Notice     pec.Kind        `json:"notice"`
	NoticeID   string          `json:"notice_id"`
	Sender     string          `json:"sender"`
	Recipients []pec.Recipient `json:"recipients"`
	Subject    string          `json:"subject"`
	Delivered  string          `json:"delivered"` // the one recipient that the row is about
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
