package integration

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/pec-milter/pec-milter/pec"
)

// Options say what a World is made of.
type Options struct {
	Binary    string   // the pec-milter to run
	Contrib   string   // the directory contrib of the repository
	Providers []string // their names; empty: alfa and beta
	// Proxies puts a proxy of ours between each pec-milter and its mailbox store,
	// and its injection port, so that a story can stop things in between.
	Proxies bool
	// TwoNodes names a provider that has a second node; empty: none has.
	TwoNodes string
	// Backend starts what a provider's pec-milter keeps its state in; nil: it has
	// SQLite files alone.
	Backend func(*Provider) (Backend, error)
	// TimeStamps has a time-stamping authority for the seals of the legal log.
	TimeStamps bool
	// Sendmail has the providers run Sendmail, and not Postfix as the ordinary domain does.
	Sendmail bool
	// Variant says how a provider differs from what the stories have; nil: none does.
	Variant func(provider string) Variant
	// Outlive leaves the servers running when this process ends without Stop.
	// Otherwise they end with it, however it ends, and their files are removed.
	Outlive bool
}

// parent is where a world has its files. Not TMPDIR: the path of a socket has at most
// 107 bytes. And Sendmail trusts no file below a directory that all may write to.
func (o Options) parent() string {
	if o.Sendmail {
		return "/run"
	}
	return "/tmp"
}

// World is a small internet on loopback: some providers that know each other by
// one directory, and an ordinary mail domain.
type World struct {
	Dir       string // all run-time files
	Providers []*Provider
	Ordinary  *Site // ordinary.example

	options     Options
	beside      []*process
	guard       *guard // nil with Options.Outlive
	authorities *authorities
	ports       []io.Closer // claims
	lists       *revocationServer
	logs        []io.Closer     // the sockets that Sendmails log to
	stamper     *webServer      // of time stamps; nil: there is none
	entries     []*pec.Provider // the directory
}

// Start starts a world. It is stopped by Stop, which removes all files; if Start
// fails, or ctx is done meanwhile, everything is stopped already.
func Start(ctx context.Context, options Options) (*World, error) {
	w, err := newWorld(options)
	if err != nil {
		return nil, err
	}
	if err := w.start(ctx); err != nil {
		return nil, errors.Join(err, w.Stop())
	}
	return w, nil
}

func newWorld(options Options) (*World, error) {
	if os.Getuid() != 0 {
		return nil, errors.New("only root can start a Postfix: run this as root, in a container for instance")
	}
	dir, err := os.MkdirTemp(options.parent(), "pec")
	if err != nil {
		return nil, err
	}
	w := &World{Dir: dir, options: options}
	if !options.Outlive {
		if w.guard, err = startGuard(dir); err != nil {
			return nil, err
		}
	}
	names := options.Providers
	if len(names) == 0 {
		names = []string{"alfa", "beta"}
	}
	for _, name := range names {
		p := newProvider(newSite(w, name, false))
		w.Providers = append(w.Providers, p)
		if name == options.TwoNodes {
			w.Providers = append(w.Providers, newNode(p))
		}
	}
	w.Ordinary = newSite(w, "ordinary", true)
	return w, os.Chmod(dir, 0o755) // Postfix's user must reach it
}

// start starts what newWorld made, all sites at the same time.
func (w *World) start(ctx context.Context) error {
	if err := w.prepare(); err != nil {
		return err
	}
	steps := []func() error{w.Ordinary.start}
	var nodes []func() error // what they share must be there first
	for _, p := range w.Providers {
		if p.first == nil {
			steps = append(steps, p.start)
		} else {
			nodes = append(nodes, p.start)
		}
	}
	if err := errors.Join(together(steps), context.Cause(ctx)); err != nil {
		return err
	}
	return errors.Join(together(nodes), context.Cause(ctx))
}

// together runs functions at the same time and waits for all.
func together(functions []func() error) error {
	results := make(chan error)
	for _, f := range functions {
		go func() { results <- f() }()
	}
	var errs []error
	for range functions {
		errs = append(errs, <-results)
	}
	return errors.Join(errs...)
}

// prepare makes everything that must be there before the first server starts:
// the sites know each other's ports, the providers each other's certificates.
func (w *World) prepare() error {
	var ports []*Ports
	domains := []string{RefusedDomain}
	for _, site := range w.sites() {
		ports = append(ports, &site.Ports)
		domains = append(domains, site.Domain)
	}
	var err error
	if w.ports, err = choosePorts(ports...); err != nil {
		return err
	}
	now := time.Now()
	if w.lists, err = startRevocationServer(); err != nil {
		return err
	}
	if w.authorities, err = newAuthorities(now, domains, w.lists.url); err != nil {
		return err
	}
	var entries []*pec.Provider
	for _, p := range w.Providers {
		entry, err := p.prepare()
		if err != nil {
			return fmt.Errorf("provider %s: %w", p.Name, err)
		}
		if entry != nil {
			entries = append(entries, entry)
		}
	}
	if err := w.Ordinary.prepare(); err != nil {
		return fmt.Errorf("site %s: %w", w.Ordinary.Name, err)
	}
	refused, err := w.refusedProvider()
	if err != nil {
		return err
	}
	w.entries = append(entries, refused)
	if err := w.authorities.writeTrust(w.trustDir(), now, w.entries); err != nil || !w.options.TimeStamps {
		return err
	}
	w.stamper, err = startStamper(w.trustDir())
	return err
}

// RefusedDomain is certified by the directory, and its mail server refuses all
// mail for it: what the MTA then reports about a certified recipient is a bounce.
const RefusedDomain = "refused.example"

// NowhereDomain is an ordinary domain, and its mail server refuses all mail for it.
const NowhereDomain = "nowhere.example"

func (w *World) refusedProvider() (*pec.Provider, error) {
	signer, err := w.authorities.newProvider("Refused PEC S.p.A.", "posta-certificata@"+RefusedDomain)
	if err != nil {
		return nil, err
	}
	return &pec.Provider{
		Name: "Refused PEC S.p.A.", Certificates: signer.Chain[:1],
		MailReceipt: "ricevute@" + RefusedDomain, Domains: []string{RefusedDomain},
	}, nil
}

// Stop stops all servers and removes all files. A nil World is stopped already.
func (w *World) Stop() error {
	if w == nil {
		return nil
	}
	steps := []func() error{w.Ordinary.stop}
	for _, p := range w.Providers {
		steps = append(steps, p.stop)
	}
	for _, p := range w.beside {
		steps = append(steps, p.stop)
	}
	return errors.Join(together(steps), w.guard.stop(), w.lists.Close(), w.stamper.Close(), closeAll(w.logs), os.RemoveAll(w.Dir), closeAll(w.ports))
}

// SaveLogs copies the logs of all servers into a directory, as site-name.log: Stop
// removes them.
func (w *World) SaveLogs(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	logs, err := filepath.Glob(filepath.Join(w.Dir, "*", "*.log"))
	for _, log := range logs {
		text, failed := os.ReadFile(log)
		name := filepath.Base(filepath.Dir(log)) + "-" + filepath.Base(log)
		err = errors.Join(err, failed, os.WriteFile(filepath.Join(dir, name), text, 0o644))
	}
	return err
}

// Provider finds a provider by its name; nil if there is none.
func (w *World) Provider(name string) *Provider {
	for _, p := range w.Providers {
		if p.Name == name {
			return p
		}
	}
	return nil
}

// SiteOf is the site of an address; nil if it is nobody's.
func (w *World) SiteOf(address string) *Site {
	for _, site := range w.sites() {
		if site.Domain == pec.Domain(address) {
			return site
		}
	}
	return nil
}

// AuthorityFile is the root of the providers' certificates, in PEM.
func (w *World) AuthorityFile() string { return filepath.Join(w.trustDir(), "roots", "root.pem") }

// ServerAuthorityFile is the root of the servers' TLS certificates, in PEM.
func (w *World) ServerAuthorityFile() string { return w.tlsRoot() }

func (w *World) sites() []*Site {
	var sites []*Site
	for _, p := range w.Providers {
		sites = append(sites, p.Site)
	}
	return append(sites, w.Ordinary)
}

func (w *World) trustDir() string { return filepath.Join(w.Dir, "trust") }
func (w *World) tlsRoot() string  { return filepath.Join(w.trustDir(), "tls-root.pem") }
