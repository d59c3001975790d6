package main

import (
	"context"
	"crypto/x509"
	"log/slog"
	"os"
	"slices"
	"strings"

	"github.com/coreos/go-systemd/v22/daemon"

	"github.com/pec-milter/pec-milter/internal/config"
)

// reloader reads the configuration again for each SIGHUP.
type reloader struct {
	path    string
	inForce *config.Config
	level   *slog.LevelVar
	hangup  <-chan os.Signal
}

// reloadable are the settings that a reload puts in force; the others need a restart,
// for connections, sessions and files are open by them.
var reloadable = []string{"accounts.file", "log.level"}

// run reloads until ctx is done.
func (r *reloader) run(ctx context.Context, s *services) {
	logger := s.provider.Logger
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.hangup:
		}
		tellSystemd(logger, daemon.SdNotifyReloading)
		status := "reloaded"
		if err := r.reload(s); err != nil {
			status = "the new configuration was refused, the old one is in force"
			logger.Error("new configuration refused, the old one stays in force", "error", err)
		}
		tellSystemd(logger, daemon.SdNotifyReady+"\nSTATUS="+status)
	}
}

// reload puts in force what can be, or nothing: what is wrong with the configuration,
// with a file that it names, or with the accounts is found before.
func (r *reloader) reload(s *services) error {
	next, err := loadConfig(r.path)
	if err != nil {
		return err
	}
	if err := s.accounts.Move(next.Accounts.File); err != nil {
		return err
	}
	r.level.Set(next.Log.Level.Level)
	var later []string
	for _, key := range config.Changed(r.inForce, next) {
		if !slices.Contains(reloadable, key) {
			later = append(later, key)
		}
	}
	if len(later) > 0 {
		s.provider.Logger.Warn("settings changed that a reload cannot put in force: restart", "keys", strings.Join(later, " "))
	}
	s.refreshFiles()
	s.provider.Logger.Info("configuration read again", "level", next.Log.Level.Level, "accounts", next.Accounts.File)
	return nil
}

// refreshFiles has the certificate and the trust looked at now, not within a minute
// or with the next message. What is refused is told there, and the old stays.
func (s *services) refreshFiles() {
	_, err := s.signer.Refresh(func(chain []*x509.Certificate) error {
		return acceptCertificate(s.provider, chain, s.provider.Clock())
	})
	if err != nil {
		s.provider.Logger.Error("new signing certificate or key refused, the old ones stay in use", "error", err)
	}
	_, _ = s.provider.Trust.Current() // that it is too old the keeper tells, as always
}
