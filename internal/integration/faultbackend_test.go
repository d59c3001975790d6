//go:build integration

package integration

import (
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/pec-milter/pec-milter/internal/testpostgres"
)

// The backends of TestFaults: a row may be for one of them alone.
const (
	sqlite  = "sqlite"
	servers = "servers" // state on Redis, log and records in PostgreSQL
)

// useBackend gives each provider the backend of this name.
func (s *faultStage) useBackend(t *testing.T, name string) {
	t.Helper()
	switch s.name = name; name {
	case sqlite:
	case servers:
		s.backend = startServers
	default:
		t.Fatalf("FAULTS_BACKEND=%s: %s or %s", name, sqlite, servers)
	}
}

// redisAndPostgreSQL are servers of one provider's own.
type redisAndPostgreSQL struct {
	*Redis
	postgres *testpostgres.Server
	down     bool // PostgreSQL is
}

func startServers(p *Provider) (Backend, error) {
	s := &redisAndPostgreSQL{}
	var err error
	if s.postgres, err = testpostgres.Start(); err != nil {
		return nil, err
	}
	if s.Redis, err = StartRedis(p); err != nil {
		return nil, errors.Join(err, s.postgres.Stop())
	}
	if err := migrate(s.postgres); err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	return s, os.WriteFile(p.daemonFile("postgresql-password"), []byte(testpostgres.Password+"\n"), 0o600)
}

// Settings is Backend.Settings.
func (s *redisAndPostgreSQL) Settings() string {
	return s.Redis.Settings() + fmt.Sprintf("\n[postgresql]\nhosts = [\"127.0.0.1\"]\nport = %d\ndatabase = %q\nuser = %q\npassword_file = \"postgresql-password\"\n",
		s.postgres.Port, testpostgres.Role, testpostgres.Role)
}

// Stop is Backend.Stop.
func (s *redisAndPostgreSQL) Stop() error { return errors.Join(s.Redis.Stop(), s.postgres.Stop()) }

// mend brings both up again.
func (s *redisAndPostgreSQL) mend() error {
	var errs []error
	if s.Redis.process.ended() {
		errs = append(errs, s.Redis.Start())
	}
	if s.down {
		errs = append(errs, s.postgres.Restart())
		s.down = false
	}
	return errors.Join(errs...)
}

func serversOf(t *trial, provider string) *redisAndPostgreSQL {
	return t.world.Provider(provider).backend.(*redisAndPostgreSQL)
}

// restartRedis kills it and leaves it down for some time.
func restartRedis(provider string, length time.Duration) func(*trial) error {
	return func(t *trial) error {
		r := serversOf(t, provider).Redis
		if err := r.process.kill(); err != nil {
			return err
		}
		time.Sleep(length)
		return r.Start()
	}
}

// freezeRedis lets it hang for some time.
func freezeRedis(provider string, length time.Duration) func(*trial) error {
	return func(t *trial) error {
		return freeze(func(t *trial) *process { return serversOf(t, provider).Redis.process }, length)(t)
	}
}

// flushRedis has it forget everything while the daemon works.
func flushRedis(provider string) func(*trial) error {
	return func(t *trial) error { return serversOf(t, provider).Do("FLUSHALL") }
}

// restartPostgreSQL kills those of some providers and leaves them down for some
// time.
func restartPostgreSQL(length time.Duration, providers ...string) func(*trial) error {
	return func(t *trial) error {
		for _, name := range providers {
			s := serversOf(t, name)
			s.down = true
			if err := s.postgres.Kill(); err != nil {
				return err
			}
		}
		time.Sleep(length)
		var errs []error
		for _, name := range providers {
			errs = append(errs, serversOf(t, name).mend())
		}
		return errors.Join(errs...)
	}
}

// freezePostgreSQL lets it hang for some time.
func freezePostgreSQL(provider string, length time.Duration) func(*trial) error {
	return func(t *trial) error {
		goOn, err := serversOf(t, provider).postgres.Hang()
		time.Sleep(length)
		return errors.Join(err, goOn())
	}
}
