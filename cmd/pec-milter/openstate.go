package main

import (
	"context"
	"database/sql"
	"fmt"
	"os"

	"github.com/pec-milter/pec-milter/internal/config"
	"github.com/pec-milter/pec-milter/internal/state"
)

// openRedis prepares the state on Redis, where that is configured, and does not
// ask it yet.
func (s *services) openRedis(c *config.Config) error {
	r := &c.Redis
	if !r.Used() {
		return nil
	}
	node, err := nodeName(c)
	if err != nil {
		return err
	}
	where := state.RedisConfig{
		Master: r.Master, User: r.User, PasswordFile: r.PasswordFile,
		CA: r.TLSCA, Certificate: r.TLSCertificate, Key: r.TLSKey, Database: r.Database, Prefix: r.Prefix,
	}
	for _, socket := range r.Addresses {
		where.Addresses = append(where.Addresses, socket.Address)
	}
	s.redis, err = state.OpenRedis(where, node, s.provider.Clock, s.provider.Logger)
	if err != nil {
		return &exit{exitConfig, err}
	}
	s.closers = append(s.closers, s.redis.Close)
	s.provider.State, s.provider.Shared = s.redis, true
	return nil
}

// openState opens the state, in a file of its own: its many small writes would
// wait for each commit of the legal log. It may be lost. Redis may also come
// later: nothing is wrong with the mail that waits for it.
func (s *services) openState(c *config.Config) error {
	if s.redis != nil {
		if err := s.redis.Begin(context.Background()); err != nil {
			s.provider.Logger.Error("no state: mail gets 451 until Redis answers", "error", err)
		}
		return nil
	}
	path := c.State.File + "-state"
	db, err := sql.Open("sqlite", state.SQLiteDSN(path))
	if err != nil {
		return fmt.Errorf("opening %s: %w", path, err)
	}
	db.SetMaxOpenConns(1) // SQLite has one writer: let them queue here
	s.closers = append(s.closers, db.Close)
	node, err := nodeName(c)
	if err != nil {
		return err
	}
	store, err := state.Open(db, node, s.provider.Clock, s.provider.Logger)
	if err != nil {
		return fmt.Errorf("opening %s: %w", path, err)
	}
	s.provider.State = store
	return nil
}

// nodeName is what this daemon is called among those of the provider.
func nodeName(c *config.Config) (string, error) {
	if c.State.Node != "" {
		return c.State.Node, nil
	}
	host, err := os.Hostname()
	if err != nil {
		return "", fmt.Errorf("name of this host, for want of state.node: %w", err)
	}
	return host, nil
}
