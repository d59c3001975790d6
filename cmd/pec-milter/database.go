package main

import (
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib" // the driver of the database of several nodes
	_ "modernc.org/sqlite"           // the driver of the embedded database

	"github.com/pec-milter/pec-milter/internal/config"
	"github.com/pec-milter/pec-milter/internal/legallog"
)

// openLegalLog opens the legal log in PostgreSQL, or in the SQLite file if the
// configuration has no PostgreSQL. It goes on after what its seals and anchors have,
// whatever the database has. The function that it returns closes both the log and its
// database.
func openLegalLog(c *config.Config, logger *slog.Logger) (*legallog.Log, func() error, error) {
	node, err := nodeName(c)
	if err != nil {
		return nil, nil, err
	}
	open, where := legallog.Open, c.State.File
	connect := func() (*sql.DB, error) { return openSQLite(c) }
	if c.PostgreSQL.Given() {
		open, where = legallog.OpenPostgreSQL, "the PostgreSQL database "+c.PostgreSQL.Database
		connect = func() (*sql.DB, error) { return openPostgreSQL(&c.PostgreSQL) }
	}
	known, err := legallog.Known(c.LegalLog.Directory, c.LegalLog.Anchors, node)
	if err != nil {
		return nil, nil, err
	}
	db, err := connect()
	if err != nil {
		return nil, nil, fmt.Errorf("opening %s: %w", where, err)
	}
	log, err := open(db, node)
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("opening %s: %w", where, err), db.Close())
	}
	log.Remember(known, func(row legallog.Row) {
		logger.Error("the legal log's database was restored to an older state: rows are lost", "node", row.Node, "row", row.Seq, "detail", row.Detail)
	})
	return log, func() error { return errors.Join(log.Close(), db.Close()) }, nil
}

// openSQLite opens the file of the legal log; nothing is read or made yet.
func openSQLite(c *config.Config) (*sql.DB, error) {
	db, err := sql.Open("sqlite", legallog.SQLiteDSN(c.State.File))
	if err != nil {
		return nil, err
	}
	// Two, the default, are closed and opened again all the time under load.
	db.SetMaxIdleConns(maxConnections)
	db.SetConnMaxIdleTime(maxIdleTime)
	return db, nil
}

// The pool of connections to a database: one writes, the others read. A server of
// PostgreSQL that takes no connection is given up in time for the next one to be
// tried.
const (
	maxConnections = 10
	maxIdleTime    = 5 * time.Minute
	connectTimeout = 5 * time.Second
)

// openPostgreSQL connects to nothing yet.
func openPostgreSQL(p *config.PostgreSQL) (*sql.DB, error) {
	settings, err := postgreSQLConfig(p)
	if err != nil {
		return nil, err
	}
	db := stdlib.OpenDB(*settings)
	db.SetMaxOpenConns(maxConnections)
	db.SetMaxIdleConns(maxConnections)
	db.SetConnMaxIdleTime(maxIdleTime)
	return db, nil
}

// postgreSQLConfig is how to connect. The password is no part of the text that
// the library reads, and so of none of its errors.
func postgreSQLConfig(p *config.PostgreSQL) (*pgx.ConnConfig, error) {
	password, err := p.ReadPassword()
	if err != nil {
		return nil, &exit{exitConfig, fmt.Errorf("postgresql.password_file: %w", err)}
	}
	tls := "disable"
	if p.TLS() {
		tls = "verify-full"
	}
	var text strings.Builder
	for _, s := range [][2]string{ // an empty one keeps the environment's away
		{"host", strings.Join(p.Hosts, ",")}, {"port", strconv.Itoa(p.Port)}, {"dbname", p.Database}, {"user", p.User},
		{"sslmode", tls}, {"sslrootcert", p.CAFile}, {"target_session_attrs", "read-write"},
	} {
		fmt.Fprintf(&text, "%s='%s' ", s[0], strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s[1]))
	}
	settings, err := pgx.ParseConfig(text.String())
	if err != nil {
		return nil, &exit{exitConfig, fmt.Errorf("postgresql: %w", err)}
	}
	settings.Password = string(password.Reveal())
	settings.ConnectTimeout = connectTimeout
	settings.RuntimeParams["application_name"] = "pec-milter"
	maps.Copy(settings.RuntimeParams, legallog.PostgreSQLSettings())
	return settings, nil
}
