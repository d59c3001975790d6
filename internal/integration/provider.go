package integration

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/pec-milter/pec-milter/internal/testpki"
	"github.com/pec-milter/pec-milter/pec"
)

// Provider is a PEC provider: a site, a pec-milter and a key.
type Provider struct {
	*Site
	Title       string // gestore-emittente
	Address     string // the service address
	MailReceipt string // the service mailbox

	accounts    []string // lines of the accounts file
	daemon      *process
	clamd       *process
	ignoreEICAR bool // the antivirus does not know the test virus
	backend     Backend
	enter       []string  // a command that runs the daemon elsewhere; nil: it runs here
	first       *Provider // whose second node this is; nil: it is none
	mailbox     *Proxy    // nil without Options.Proxies
	inject      *Proxy
}

func newProvider(site *Site) *Provider {
	return &Provider{
		Site:        site,
		Title:       strings.ToUpper(site.Name[:1]) + site.Name[1:] + " PEC S.p.A.",
		Address:     "posta-certificata@" + site.Domain,
		MailReceipt: "ricevute@" + site.Domain,
	}
}

// prepare makes all of the provider's files and gives its directory entry.
func (p *Provider) prepare() (*pec.Provider, error) {
	if err := p.Site.prepare(); err != nil {
		return nil, err
	}
	if p.first != nil {
		return nil, p.shareFiles()
	}
	// The mailboxes of the provider itself, and the postmaster's, are nobody's account.
	if err := p.Site.AddUsers(Local(p.Address), Local(p.MailReceipt), "postmaster"); err != nil {
		return nil, err
	}
	signer, err := p.world.authorities.newProvider(p.Title, p.Address)
	if err != nil {
		return nil, err
	}
	if err := p.writeDaemonFiles(signer); err != nil {
		return nil, err
	}
	return &pec.Provider{
		Name: p.Title, Certificates: signer.Chain[:1],
		MailReceipt: p.MailReceipt, Domains: []string{p.Domain},
	}, nil
}

// AddUsers makes mailboxes whose users own their address and refuse ordinary mail.
func (p *Provider) AddUsers(locals ...string) error {
	for _, local := range locals {
		if slices.ContainsFunc(p.accounts, func(line string) bool { return strings.HasPrefix(line, local+"@"+p.Domain+" ") }) {
			return fmt.Errorf("%s@%s is there already: take another name", local, p.Domain)
		}
	}
	if err := p.Site.AddUsers(locals...); err != nil {
		return err
	}
	for _, local := range locals {
		p.accounts = append(p.accounts, account(local+"@"+p.Domain, "refuse"))
	}
	return p.writeAccounts()
}

// SetOrdinary says what becomes of ordinary mail for a user: "refuse", "accept" or
// "forward:" with an address.
func (p *Provider) SetOrdinary(user, policy string) error {
	for i, line := range p.accounts {
		if strings.HasPrefix(line, user+" ") {
			p.accounts[i] = account(user, policy)
		}
	}
	return p.writeAccounts()
}

func account(user, policy string) string { return fmt.Sprintf("%s %s active %s\n", user, user, policy) }

func (p *Provider) writeAccounts() error {
	return replaceFile(p.daemonFile("accounts"), strings.Join(p.accounts, ""))
}

func (p *Provider) daemonFile(name string) string { return filepath.Join(p.Dir, "pec-milter", name) }

// writeDaemonFiles writes what the daemon's configuration names.
func (p *Provider) writeDaemonFiles(signer *testpki.Credential) error {
	if err := makeDirectories(p.Dir, "pec-milter/tokens"); err != nil {
		return err
	}
	for _, private := range []string{"quarantine", "state"} {
		if err := os.Mkdir(p.daemonFile(private), 0o700); err != nil {
			return err
		}
	}
	if err := p.writeSecrets(); err != nil {
		return err
	}
	// The accounts file must not be empty, and the holder of nothing owns nothing.
	p.accounts = []string{"nobody@" + p.Domain + " - disabled refuse\n"}
	if err := replaceFile(p.daemonFile("accounts"), p.accounts[0]); err != nil {
		return err
	}
	if err := signer.WriteFiles(p.daemonFile("signer.pem"), p.daemonFile("signer.key")); err != nil {
		return err
	}
	if p.variant().KeyFile {
		return nil
	}
	return p.importKey()
}

func (p *Provider) writeSecrets() error {
	secret := make([]byte, 32)
	_, _ = rand.Read(secret) // never fails
	return errors.Join(
		os.WriteFile(p.daemonFile("secret"), []byte(hex.EncodeToString(secret)), 0o600),
		os.WriteFile(p.daemonFile("pin"), []byte(pin+"\n"), 0o600),
	)
}

// pin is the user PIN of every token; nothing else that is logged looks like it.
const pin = "pin-73190462"

// softHSM is where Debian's softhsm2 has its PKCS#11 library.
const softHSM = "/usr/lib/softhsm/libsofthsm2.so"

// configureToken says where SoftHSM has its tokens.
func (p *Provider) configureToken() error {
	conf := fmt.Sprintf("directories.tokendir = %s\nobjectstore.backend = file\nlog.level = ERROR\n", p.daemonFile("tokens"))
	return os.WriteFile(p.daemonFile("softhsm2.conf"), []byte(conf), 0o644)
}

// importKey makes a SoftHSM token, moves the key onto it, and removes the file.
func (p *Provider) importKey() error {
	if err := p.configureToken(); err != nil {
		return err
	}
	if _, err := run(p.daemonEnvironment(), "softhsm2-util", "--init-token", "--free", "--label", p.Name, "--so-pin", pin, "--pin", pin); err != nil {
		return err
	}
	key := p.daemonFile("signer.key")
	if err := p.importFile(key, "01"); err != nil {
		return err
	}
	return errors.Join(os.Remove(key), p.makeSlowToken())
}

// importFile copies a key onto the token.
func (p *Provider) importFile(key, id string) error {
	_, err := run(p.daemonEnvironment(), "softhsm2-util", "--import", key, "--token", p.Name, "--label", "signer", "--id", id, "--pin", pin)
	return err
}

func (p *Provider) daemonEnvironment() []string {
	return []string{"SOFTHSM2_CONF=" + p.daemonFile("softhsm2.conf")}
}

// start starts the provider's servers, pec-milter last.
func (p *Provider) start() error {
	if err := p.Site.start(); err != nil {
		return err
	}
	if !p.variant().NoAntivirus {
		if err := p.StartClamd(); err != nil {
			return err
		}
	}
	if err := p.startProxies(); err != nil {
		return fmt.Errorf("provider %s: %w", p.Name, err)
	}
	if err := errors.Join(p.writeConfig(), p.startBackend()); err != nil {
		return err
	}
	return p.StartDaemon()
}

// writeConfig writes the daemon's configuration, without what the backend adds.
func (p *Provider) writeConfig() error {
	return writeConf(p.ConfigFile(), "pec-milter.toml", p.daemonConf())
}

// startBackend starts what the daemon keeps its state in, if that is not a file.
func (p *Provider) startBackend() (err error) {
	if p.world.options.Backend == nil {
		return nil
	}
	if p.backend, err = p.world.options.Backend(p); err != nil {
		return fmt.Errorf("provider %s: %w", p.Name, err)
	}
	if p.backend == nil {
		return nil
	}
	return p.editConfig(func(text string) string { return text + p.backend.Settings() })
}

func (p *Provider) editConfig(edit func(string) string) error {
	text, err := os.ReadFile(p.ConfigFile())
	if err != nil {
		return err
	}
	return replaceFile(p.ConfigFile(), edit(string(text)))
}

func (p *Provider) stopBackend() error {
	if p.backend == nil {
		return nil
	}
	return p.backend.Stop()
}

// daemonConf is what conf/pec-milter.toml is filled in with.
type daemonConf struct {
	*Provider
	Variant
	Module, Token, Trust, MailboxSocket, InjectAddress, TSA string
	Lifetime                                                string // the socket that Sendmail asks; empty: none does
}

func (p *Provider) daemonConf() daemonConf {
	return daemonConf{p, p.variant(), p.module(), p.token(), p.world.trustDir(), p.storeSocket(), p.injectAddress(), p.world.stamperURL(), p.lifetimeSocket()}
}

// stop stops the MTA first, so that nothing new comes.
func (p *Provider) stop() error {
	return errors.Join(p.stopMTA(), p.daemon.stop(), p.dovecot.stop(), p.clamd.stop(), p.stopBackend(), p.mailbox.Close(), p.inject.Close())
}
