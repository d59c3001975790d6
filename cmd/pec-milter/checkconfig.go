package main

import (
	"fmt"
	"log/slog"
)

type checkCommand struct {
	Config string `required:"" type:"path" placeholder:"FILE" help:"The configuration."`
}

// Run loads the configuration and opens all that can be opened without the
// sockets and the database, the key included.
func (k *checkCommand) Run(o out) error {
	c, err := loadConfig(k.Config)
	if err != nil {
		return err
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
	_, err = fmt.Fprintf(o, "%s: good\n", k.Config)
	return err
}
