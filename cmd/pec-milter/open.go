package main

import (
	"cmp"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/pec-milter/pec-milter/hsm"
	"github.com/pec-milter/pec-milter/internal/account"
	"github.com/pec-milter/pec-milter/internal/antivirus"
	clockwatch "github.com/pec-milter/pec-milter/internal/clock"
	"github.com/pec-milter/pec-milter/internal/config"
	"github.com/pec-milter/pec-milter/internal/directory"
	"github.com/pec-milter/pec-milter/internal/inject"
	"github.com/pec-milter/pec-milter/internal/legallog"
	"github.com/pec-milter/pec-milter/internal/point"
	"github.com/pec-milter/pec-milter/internal/quarantine"
	"github.com/pec-milter/pec-milter/internal/state"
	"github.com/pec-milter/pec-milter/lmtpdeliver"
	"github.com/pec-milter/pec-milter/pec"
)

// services are the effects of the doors, open.
type services struct {
	provider    *point.Provider
	signer      *hsm.Signer
	accounts    *account.File
	directory   *directory.Source
	revocations *directory.Revocations
	log         *legallog.Log
	redis       *state.RedisStore      // nil: the state is in a file
	quarantine  *quarantine.Quarantine // nil: there is no antivirus
	clamd       *antivirus.Clamd       // likewise
	closers     []func() error
}

// loadConfig loads a configuration and checks that its files can be read.
func loadConfig(path string) (*config.Config, error) {
	c, err := config.Load(path)
	if err == nil {
		err = c.CheckFiles()
	}
	if err != nil {
		return nil, &exit{exitConfig, err}
	}
	return c, nil
}

// openServices opens everything the doors need; clock is the daemon's one clock.
func openServices(c *config.Config, clock point.Clock, logger *slog.Logger) (*services, error) {
	s, err := openExamined(c, clock, logger)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(s.openLog(c), s.openState(c)); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

// openExamined opens all but the database: what can be examined beside a
// running daemon.
func openExamined(c *config.Config, clock point.Clock, logger *slog.Logger) (*services, error) {
	s := newServices(c, clock, logger)
	for _, open := range []func(*config.Config) error{
		s.openSecret, s.openDirectory, s.openAccounts, s.openAntivirus, s.openSigner, s.openRedis,
	} {
		if err := open(c); err != nil {
			return nil, errors.Join(err, s.close())
		}
	}
	return s, nil
}

// newServices has what needs no opening.
func newServices(c *config.Config, clock point.Clock, logger *slog.Logger) *services {
	injector := inject.New(c.Inject.Address, c.Inject.Hello, transferTime)
	store := lmtpdeliver.NewMailStore(c.Delivery.Mailbox.Network, c.Delivery.Mailbox.Address, c.Inject.Hello, transferTime)
	return &services{closers: []func() error{injector.Close, store.Close}, provider: &point.Provider{
		Identity: point.Identity{
			Name: c.Provider.Name, Domain: c.Provider.Domain, Domains: c.Provider.Domains,
			Address: c.Provider.Address, MailReceipt: c.Provider.MailReceipt,
		},
		Limits: pec.Limits{
			Total: c.Access.MaxTotal, Recipients: c.Access.MaxRecipients, StrictRecipients: c.Access.StrictRecipients,
		},
		BriefDecoded: c.Delivery.BriefDecoded, RequireTLS: c.Incoming.RequireTLS,
		Clock: clock, Logger: logger, ClockTrouble: clockwatch.NewWatch(readClock, logger).Trouble,
		Injector: injector,
		Store:    store,
	}}
}

// transferTime bounds the handing over of one message to a server beside us.
const transferTime = 5 * time.Minute

func (s *services) openSecret(c *config.Config) error {
	secret, err := c.Provider.ReadSecret()
	if err != nil {
		return &exit{exitConfig, err}
	}
	s.provider.Secret = secret.Reveal()
	return nil
}

func (s *services) openDirectory(c *config.Config) error {
	source, err := directory.Open(directory.Config{
		LDIF: c.Directory.LDIF, Roots: c.Directory.Roots, Revocations: c.Directory.Revocations,
		SHA1Until: c.Incoming.SHA1Until.Time, Own: own(c), MaxAge: c.Directory.MaxAge.Duration, Clock: s.provider.Clock,
	}, s.provider.Logger)
	if errors.Is(err, os.ErrNotExist) && c.DirectorySync.Used() {
		err = fmt.Errorf("%w: fetch it with pec-milter directory sync --config FILE", err)
	}
	if err != nil {
		return &exit{exitConfig, err}
	}
	s.directory = source
	s.revocations = directory.OpenRevocations(source, directory.RevocationConfig{
		Cache: c.Directory.RevocationCache, Interval: c.Directory.RevocationInterval.Duration, Grace: c.Directory.RevocationGrace.Duration,
	}, s.provider.Clock, s.provider.Logger)
	s.provider.Trust = s.revocations
	return nil
}

func (s *services) openAccounts(c *config.Config) error {
	file, err := account.Open(c.Accounts.File, []string{c.Provider.Address, c.Provider.MailReceipt}, s.provider.Logger)
	if err != nil {
		return &exit{exitConfig, err}
	}
	s.accounts, s.provider.Accounts = file, file
	return nil
}

// openAntivirus leaves it out where the operator wrote "none". It does not ask
// clamd, which may come later: mail gets 451 until then.
func (s *services) openAntivirus(c *config.Config) (err error) {
	if c.Antivirus == config.AntivirusNone {
		s.provider.Logger.Warn("no antivirus: mail is certified unscanned, against RFC 6109 sections 3.1.3 and 3.2.3")
		return nil
	}
	if s.quarantine, err = quarantine.New(c.Quarantine.Directory); err != nil {
		return &exit{exitConfig, err}
	}
	s.provider.Quarantine = s.quarantine
	s.clamd = &antivirus.Clamd{
		Network: c.Clamd.Socket.Network, Address: c.Clamd.Socket.Address, Timeout: c.Clamd.Timeout.Duration,
	}
	s.provider.Scanner = s.clamd
	return nil
}

func (s *services) openSigner(c *config.Config) (err error) {
	signer, err := openSigner(&c.Signer, s.provider.Logger)
	if errors.Is(err, hsm.ErrPIN) {
		return &exit{exitConfig, err} // whoever starts us must not try again by himself
	}
	if err != nil {
		return fmt.Errorf("signer: %w", err)
	}
	s.signer, s.provider.Signer = signer, signer
	s.closers = append(s.closers, signer.Close)
	return nil
}

func openSigner(c *config.Signer, logger *slog.Logger) (*hsm.Signer, error) {
	if c.Module == "" {
		return hsm.OpenFile(c.CertificateFile, c.KeyFile, logger)
	}
	return hsm.OpenToken(c.CertificateFile, tokenOf(c), logger)
}

// tokenOf is the configured token with its spares.
func tokenOf(c *config.Signer) hsm.Token {
	first := oneToken(&c.SignerToken)
	first.Timeout = c.Timeout.Duration
	for i := range c.Spares {
		first.Spares = append(first.Spares, oneToken(&c.Spares[i]))
	}
	return first
}

func oneToken(c *config.SignerToken) hsm.Token {
	return hsm.Token{
		Module: c.Module, Label: c.Token, Serial: c.TokenSerial, Slot: c.TokenSlot,
		KeyLabel: c.KeyLabel, KeyID: c.KeyID.Bytes, PINFile: c.PINFile, Sessions: c.Sessions,
	}
}

// openLog opens the legal log and the records.
func (s *services) openLog(c *config.Config) error {
	log, closeLog, err := openLegalLog(c, s.provider.Logger)
	if err != nil {
		return err
	}
	s.closers = append(s.closers, closeLog)
	s.log, s.provider.Log, s.provider.Records = log, log, log
	return nil
}

// close closes what was opened, the last first.
func (s *services) close() error {
	var err error
	for i := len(s.closers) - 1; i >= 0; i-- {
		err = errors.Join(err, s.closers[i]())
	}
	s.closers = nil
	return err
}

// checkOwnCertificate makes sure that the signing certificate is in the
// directory: peers would take what it signs for ordinary mail.
func checkOwnCertificate(p *point.Provider) error {
	_, chain, err := p.Signer.Current()
	if err != nil {
		return err
	}
	return checkCertificate(p, chain)
}

func checkCertificate(p *point.Provider, chain []*x509.Certificate) error {
	trust, err := p.Trust.Current()
	if err != nil {
		return err
	}
	if !pec.ContainsAddress(chain[0].EmailAddresses, p.Identity.Address) {
		return fmt.Errorf("provider.address: the signing certificate is for %v, not for %s: peers would take our messages for anomalies",
			chain[0].EmailAddresses, p.Identity.Address)
	}
	provider := pec.FindProvider(trust.Directory, chain[0])
	if provider == nil {
		return errors.New("the signing certificate is not in the providers directory: peers would take our messages for ordinary mail")
	}
	for _, domain := range p.Identity.Domains {
		if owner := trust.Directory.ByDomain(domain); owner == nil || owner.Name != provider.Name {
			return fmt.Errorf("domain %s: the providers directory gives it to %q, not to %q", domain,
				cmp.Or(nameOf(owner), "nobody"), provider.Name)
		}
	}
	if odd := pec.Deviations(chain[0]); len(odd) > 0 {
		p.Logger.Warn("signing certificate is not as RFC 6109 section 5.5.2 demands: peers may mind, ask the authority for one that is", "has", odd)
	}
	return nil
}

func nameOf(p *pec.Provider) string {
	if p == nil {
		return ""
	}
	return p.Name
}
