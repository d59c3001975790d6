package main

import (
	"database/sql"
	"errors"
	"fmt"

	"github.com/pec-milter/pec-milter/internal/config"
	"github.com/pec-milter/pec-milter/internal/legallog"
)

// databaseCommands are the commands of the database's administrator.
type databaseCommands struct {
	Migrate migrateCommand `cmd:"" help:"Bring the PostgreSQL database to the present schema, as the owner of the tables."`
}

// ownerOption says who owns the tables in PostgreSQL.
type ownerOption struct {
	Owner             string `placeholder:"ROLE" default:"pec-milter-owner" help:"The PostgreSQL role that owns the tables (${default})."`
	OwnerPasswordFile string `type:"path" placeholder:"FILE" help:"Its password, alone in a file. Without it the server must know it in another way."`
}

// open connects as the owner to the database of the configuration.
func (o *ownerOption) open(c *config.Config) (*sql.DB, error) {
	p := c.PostgreSQL
	p.User, p.PasswordFile = o.Owner, o.OwnerPasswordFile
	return openPostgreSQL(&p)
}

type migrateCommand struct {
	Config string `required:"" type:"path" placeholder:"FILE" help:"The configuration."`
	ownerOption
}

// Run may be repeated: it does what is missing.
func (m *migrateCommand) Run(o out) error {
	c, err := loadConfig(m.Config)
	if err != nil {
		return err
	}
	if !c.PostgreSQL.Given() {
		return &exit{exitUsage, errors.New("the configuration has no [postgresql]: the SQLite file needs no command")}
	}
	db, err := m.open(c)
	if err != nil {
		return err
	}
	defer db.Close()
	if err := legallog.MigratePostgreSQL(db, c.PostgreSQL.User); err != nil {
		return fmt.Errorf("as role %s: %w", m.Owner, err)
	}
	_, err = fmt.Fprintf(o, "%s: the schema is the present one, and role %s may use it\n", c.PostgreSQL.Database, c.PostgreSQL.User)
	return err
}
