package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"

	"github.com/pec-milter/pec-milter/internal/legallog"
)

// logCommands are the commands on the legal log.
type logCommands struct {
	Export exportCommand `cmd:"" help:"Print the legal log, one JSON object a line."`
}

type exportCommand struct {
	Config string `required:"" type:"path" placeholder:"FILE" help:"The configuration."`
	ID     string `name:"id" placeholder:"MSGID" help:"Only the rows of this PEC msgid."`
}

// Run prints the log in its order. It may run beside the daemon.
func (x *exportCommand) Run(o out) error {
	c, err := loadConfig(x.Config)
	if err != nil {
		return err
	}
	if _, err := os.Stat(c.State.File); err != nil && !c.PostgreSQL.Given() {
		return &exit{exitNoInput, fmt.Errorf("state.file: %w", err)}
	}
	log, closeLog, err := openLegalLog(c)
	if err != nil {
		return err
	}
	defer closeLog()
	w := bufio.NewWriter(o)
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false) // <message ids> stay readable
	for row, err := range log.Events(context.Background(), legallog.Filter{ID: x.ID}) {
		if err != nil {
			return err
		}
		if err := encoder.Encode(row); err != nil {
			return err
		}
	}
	return w.Flush()
}
