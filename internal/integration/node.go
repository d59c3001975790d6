package integration

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// newNode is a second node of a provider: a host with a Postfix, a clamd and a
// pec-milter of its own, for the same domain. It has the secret and the accounts
// of the first, a token with the same key, and the mailboxes are at the first.
// What the daemons share is for Options.Backend.
func newNode(p *Provider) *Provider {
	site := newSite(p.world, p.Name+"2", false)
	site.Domain, site.Host, site.first = p.Domain, p.Host, p.Site
	return &Provider{Site: site, Title: p.Title, Address: p.Address, MailReceipt: p.MailReceipt, first: p}
}

// shared are the files of a provider's pec-milter that all of its nodes have.
var shared = [...]string{"secret", "pin", "accounts", "signer.pem", "redis-password", "postgresql-password"}

// shareFiles gives a second node the files of the first, and a way to the
// mailboxes' user database. Some come later.
func (p *Provider) shareFiles() error {
	if err := makeDirectories(p.Dir, "pec-milter"); err != nil {
		return err
	}
	for _, private := range []string{"quarantine", "state"} {
		if err := os.Mkdir(p.daemonFile(private), 0o700); err != nil {
			return err
		}
	}
	for _, name := range shared {
		if err := os.Symlink(p.first.daemonFile(name), p.daemonFile(name)); err != nil {
			return err
		}
	}
	const auth = "queue/private/auth"
	return errors.Join(p.copyToken(), os.Symlink(filepath.Join(p.first.Dir, auth), filepath.Join(p.Dir, auth)))
}

// copyToken: the files of SoftHSM are of one host, and a fault that befalls those of
// the first must not befall both.
func (p *Provider) copyToken() error {
	return errors.Join(p.configureToken(), os.CopyFS(p.daemonFile("tokens"), os.DirFS(p.first.daemonFile("tokens"))))
}

// token is the label of the provider's token.
func (p *Provider) token() string {
	if p.first != nil {
		return p.first.Name
	}
	return p.Name
}

// hops are where a domain takes mail: at each of its nodes, the first one first.
func (w *World) hops(domain string) (hops []string) {
	for _, site := range w.sites() {
		if site.Domain == domain {
			hops = append(hops, fmt.Sprintf("[127.0.0.1]:%d", site.Ports.SMTP))
		}
	}
	return hops
}
