package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pec-milter/pec-milter/internal/integration"
)

// letter is a short message of a scenario.
type letter struct {
	from   string
	to     []string // recipients that the field To names
	hidden []string // recipients that no field names
	virus  bool     // with the test virus
}

func (l letter) recipients() []string { return slices.Concat(l.to, l.hidden) }

// compose writes the message, with a Message-ID that tells of the scenario.
func (l letter) compose(scenario string, now time.Time) []byte {
	text := "Gentile destinatario, questa è una prova."
	if l.virus {
		text = integration.EICAR()
	}
	lines := []string{
		"Date: " + now.Format(time.RFC1123Z),
		"From: " + l.from,
		"To: " + strings.Join(l.to, ", "),
		"Subject: Prova: " + scenario,
		fmt.Sprintf("Message-ID: <%s.%d@client.example>", scenario, now.UnixNano()),
		"MIME-Version: 1.0",
		"Content-Type: text/plain; charset=utf-8",
		"Content-Transfer-Encoding: 8bit",
		"",
		text,
		"",
	}
	return []byte(strings.Join(lines, "\r\n"))
}
