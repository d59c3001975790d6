package main

import (
	"context"
	"fmt"
	"log/slog"
)

type checkCommand struct {
	Config string `required:"" type:"path" placeholder:"FILE" help:"The configuration."`
	MTA    bool   `name:"mta" help:"Look at the settings of the MTA too."`
	mtaOption
}

// Run loads the configuration and opens all that can be opened without the
// sockets and the database, the key included. What is wrong with the MTA is exit
// code 1, anything else 69 or 78.
func (k *checkCommand) Run(o out) error {
	c, err := loadConfig(k.Config)
	if err != nil {
		return err
	}
	if c.PostgreSQL.Given() {
		if _, err := postgreSQLConfig(&c.PostgreSQL); err != nil {
			return err
		}
	}
	logger := slog.New(slog.DiscardHandler)
	s, err := openExamined(c, clock(), logger)
	if err != nil {
		return err
	}
	defer s.close()
	if err := checkOwnCertificate(s.provider); err != nil {
		return &exit{exitConfig, err}
	}
	if k.MTA {
		if err := printFindings(o, k.examine(context.Background(), c), false); err != nil {
			return err
		}
	}
	_, err = fmt.Fprintf(o, "%s: good\n", k.Config)
	return err
}
