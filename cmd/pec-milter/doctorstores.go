package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"github.com/pec-milter/pec-milter/internal/doctor"
	"github.com/pec-milter/pec-milter/internal/legallog"
	"github.com/pec-milter/pec-milter/internal/state"
)

// database looks at where the legal log is.
func (p *patient) database(ctx context.Context) []doctor.Finding {
	if !p.config.PostgreSQL.Given() {
		file := p.config.State.File
		open := func() (*sql.DB, error) { return openSQLite(p.config) }
		return []doctor.Finding{doctor.SQLite(ctx, "database", file, open), doctor.Private("database.mode", file)}
	}
	db, err := openPostgreSQL(&p.config.PostgreSQL)
	if err != nil {
		return []doctor.Finding{openFault("postgresql", err)}
	}
	defer db.Close()
	return doctor.PostgreSQL(ctx, postgreSQLServer{db})
}

// legalLog looks whether the legal log is sealed in time.
func (p *patient) legalLog(ctx context.Context) []doctor.Finding {
	c := p.config
	if _, err := os.Stat(c.State.File); err != nil && !c.PostgreSQL.Given() {
		return nil // the daemon was never started
	}
	log, closeLog, err := openLegalLog(c, slog.New(slog.DiscardHandler))
	if err != nil {
		return []doctor.Finding{openFault("legal_log", err)}
	}
	defer closeLog()
	age, err := (&legallog.Sealer{Log: log, Directory: c.LegalLog.Directory}).Age(ctx)
	late := age.Late(p.now(), c.LegalLog.Late.Duration, c.LegalLog.TSA != "")
	return []doctor.Finding{doctor.Seals(late, err), doctor.Stamps(c.LegalLog.TSA)}
}

// redis looks at Redis, where the state is there.
func (p *patient) redis(ctx context.Context) []doctor.Finding {
	if !p.config.Redis.Used() {
		return nil
	}
	if err := errors.Join(p.services.openSecret(p.config), p.services.openRedis(p.config)); err != nil {
		return []doctor.Finding{openFault("redis", err)}
	}
	return doctor.Redis(ctx, redisServer{p.services.redis})
}

// postgreSQLServer is PostgreSQL as the daemon's connections have it.
type postgreSQLServer struct{ db *sql.DB }

func (s postgreSQLServer) Settings(ctx context.Context, names ...string) (map[string]string, error) {
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	settings := map[string]string{}
	for _, name := range names {
		var value sql.NullString // NULL: the server does not know it
		if err := s.db.QueryRowContext(ctx, "SELECT current_setting($1, true)", name).Scan(&value); err != nil {
			return nil, err
		}
		if value.Valid {
			settings[name] = value.String
		}
	}
	return settings, nil
}

// redisServer is Redis as the daemon's user sees it.
type redisServer struct{ store *state.RedisStore }

// Settings looks whether it answers first: a user that may not ask for settings must
// be able to use our keys all the same.
func (s redisServer) Settings(ctx context.Context, names ...string) (map[string]string, error) {
	if err := s.store.Answers(ctx); err != nil {
		return nil, err
	}
	settings, err := s.store.Settings(ctx, names...)
	if errors.Is(err, state.ErrNotAllowed) {
		err = fmt.Errorf("%w: %w", doctor.ErrNotAllowed, err)
	}
	return settings, err
}
