package main

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"os"

	"github.com/pec-milter/pec-milter/internal/config"
	"github.com/pec-milter/pec-milter/internal/legallog"
)

// logCommands are the commands on the legal log.
type logCommands struct {
	Export exportCommand    `cmd:"" help:"Print the legal log, one JSON object a line."`
	Search searchCommand    `cmd:"" help:"Find messages in the legal log; the search itself is logged."`
	Audit  auditCommand     `cmd:"" help:"Check the legal log by the rules that hold for every finished message."`
	Seal   sealCommand      `cmd:"" help:"Seal the legal log now."`
	Import importCommand    `cmd:"" help:"Put sealed rows back that the database has lost since it was restored."`
	Verify verifyLogCommand `cmd:"" help:"Verify the legal log, its seals and its anchors against each other."`
	Expire expireCommand    `cmd:"" help:"Remove what is sealed and over 30 months old from the database."`
}

// openExisting loads a configuration and opens its legal log, if there is one.
func openExisting(path string) (c *config.Config, log *legallog.Log, closeLog func() error, err error) {
	if c, err = loadConfig(path); err == nil {
		err = logIsThere(c)
	}
	if err == nil {
		log, closeLog, err = openLegalLog(c, slog.New(slog.NewTextHandler(os.Stderr, nil)))
	}
	return c, log, closeLog, err
}

// logIsThere: a command must not make the database that it is to read.
func logIsThere(c *config.Config) error {
	if _, err := os.Stat(c.State.File); err != nil && !c.PostgreSQL.Given() {
		return &exit{exitNoInput, fmt.Errorf("state.file: %w", err)}
	}
	return nil
}

type exportCommand struct {
	Config string `required:"" type:"path" placeholder:"FILE" help:"The configuration."`
	ID     string `name:"id" placeholder:"MSGID" help:"Only the rows of this PEC msgid."`
}

// Run prints the log in its order. It may run beside the daemon.
func (x *exportCommand) Run(o out) error {
	_, log, closeLog, err := openExisting(x.Config)
	if err != nil {
		return err
	}
	defer closeLog()
	w := bufio.NewWriter(o)
	for row, err := range log.Events(context.Background(), legallog.Filter{ID: x.ID}) {
		if err != nil {
			return err
		}
		line, err := row.Line()
		if err != nil {
			return err
		}
		if _, err := w.Write(line); err != nil {
			return err
		}
	}
	return w.Flush()
}

type sealCommand struct {
	Config string `required:"" type:"path" placeholder:"FILE" help:"The configuration."`
}

// Run seals what this node has written since the last seal. It may run beside the
// daemon, which logs in to the token too.
func (x *sealCommand) Run(o out) error {
	c, err := loadConfig(x.Config)
	if err != nil {
		return err
	}
	s := newServices(c, clock(), slog.New(slog.NewTextHandler(os.Stderr, nil)))
	defer s.close()
	if err := s.openSigner(c); err != nil {
		return err
	}
	if err := s.openLog(c); err != nil {
		return err
	}
	sealer, err := s.sealer(&c.LegalLog)
	if err != nil {
		return err
	}
	made, err := sealer.Seal(context.Background(), s.provider.Clock())
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(o, "%d seals made in %s\n", made, c.LegalLog.Directory)
	return err
}

type expireCommand struct {
	Config string   `required:"" type:"path" placeholder:"FILE" help:"The configuration."`
	Files  []string `type:"path" placeholder:"DIR" help:"A directory with the sealed files of another node."`
	ownerOption
}

// Run removes rows; the sealed files stay.
func (x *expireCommand) Run(o out) error {
	c, err := loadConfig(x.Config)
	if err != nil {
		return err
	}
	open, expire := func() (*legallog.Expiry, error) { return x.sqlite(c) }, (*legallog.Expiry).SQLite
	if c.PostgreSQL.Given() {
		open, expire = func() (*legallog.Expiry, error) { return x.postgresql(c) }, (*legallog.Expiry).PostgreSQL
	}
	expiry, err := open()
	if err != nil {
		return err
	}
	defer expiry.DB.Close()
	expiry.Seals, expiry.Now = append([]string{c.LegalLog.Directory}, x.Files...), clock()()
	gone, err := expire(expiry, context.Background())
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(o, "%d rows removed; the sealed files stay\n", gone)
	return err
}

func (x *expireCommand) sqlite(c *config.Config) (*legallog.Expiry, error) {
	if _, err := os.Stat(c.State.File); err != nil {
		return nil, &exit{exitNoInput, fmt.Errorf("state.file: %w", err)}
	}
	db, err := openSQLite(c)
	return &legallog.Expiry{DB: db}, err
}

func (x *expireCommand) postgresql(c *config.Config) (*legallog.Expiry, error) {
	db, err := x.open(c)
	return &legallog.Expiry{DB: db}, err
}
