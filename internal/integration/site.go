package integration

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pec-milter/pec-milter/pec"
)

// Site is a mail domain with its own Postfix (or Sendmail) and Dovecot. One that is not part
// of a Provider is ordinary: without milter.
type Site struct {
	Name   string // "alfa"
	Domain string // "alfa.example"
	Host   string // "mx.alfa.example": what its TLS certificate is for
	Dir    string // all that it has
	Ports  Ports

	users        []string
	quotas       map[string]int64 // bytes; no entry: no quota
	first        *Site            // whose second node this is; nil: it is none
	world        *World
	ordinary     bool
	mta, dovecot *process // Postfix or Sendmail
	cfEdits      []string // texts of sendmail.cf, each with what is in its place: settings of a story
}

func newSite(w *World, name string, ordinary bool) *Site {
	domain := name + ".example"
	return &Site{
		Name: name, Domain: domain, Host: "mx." + domain, Dir: filepath.Join(w.Dir, name),
		world: w, ordinary: ordinary,
	}
}

// siteConf is what the files of conf/ are filled in with.
type siteConf struct {
	*Site
	Contrib  string
	TLSRoot  string
	Ordinary bool
}

func (s *Site) conf() siteConf {
	return siteConf{s, s.world.options.Contrib, s.world.tlsRoot(), s.ordinary}
}

// prepare makes the site's directories and its TLS certificate.
func (s *Site) prepare() error {
	if err := makeDirectories(s.Dir, "postfix", "queue/private", "data", "dovecot", "mail", "spool"); err != nil {
		return err
	}
	for _, owned := range []struct{ dir, owner string }{
		{"data", "postfix"}, {"queue/private", "postfix"}, {"mail", "mail"},
	} {
		if err := giveTo(owned.owner, filepath.Join(s.Dir, owned.dir)); err != nil {
			return err
		}
	}
	return s.world.authorities.writeServer(s.Host, filepath.Join(s.Dir, "tls.pem"), filepath.Join(s.Dir, "tls.key"))
}

// start starts both servers. A server that was started is stopped by stop, also
// if start fails.
func (s *Site) start() error {
	if err := s.startMTA(); err != nil {
		return fmt.Errorf("site %s: %w", s.Name, err)
	}
	if s.first != nil {
		return nil // its mailboxes are there
	}
	if err := s.startDovecot(); err != nil {
		return fmt.Errorf("site %s: %w", s.Name, err)
	}
	return nil
}

func (s *Site) stop() error { return errors.Join(s.stopMTA(), s.dovecot.stop()) }

// AddUsers makes mailboxes; the local parts are lower case.
func (s *Site) AddUsers(locals ...string) error {
	for _, local := range locals {
		user := local + "@" + s.Domain
		// Dovecot remembers what it stored in the home directory, and does not make
		// that for it: without one the first message could be stored twice.
		home := s.home(local)
		if err := os.MkdirAll(home, 0o755); err != nil {
			return err
		}
		if err := giveTo("mail", filepath.Dir(home), home); err != nil {
			return err
		}
		if err := s.server().addUser(user); err != nil {
			return err
		}
		s.users = append(s.users, user)
	}
	return s.writeUsers(s.users[len(s.users)-1])
}

// home is the home directory of a user.
func (s *Site) home(local string) string { return filepath.Join(s.Dir, "mail", s.Domain, local) }

// SetQuota bounds the mailbox of a user of the site, in bytes.
func (s *Site) SetQuota(user string, bytes int64) error {
	if s.quotas == nil {
		s.quotas = make(map[string]int64)
	}
	s.quotas[user] = bytes
	return s.writeUsers(user)
}

// writeUsers writes Dovecot's file of users, and waits until Dovecot, which looks
// once a second, knows what was changed of a user.
func (s *Site) writeUsers(changed string) error {
	var lines strings.Builder
	for _, user := range s.users {
		fmt.Fprintf(&lines, "%s:%s::::::%s\n", user, Password, s.quotaField(user))
	}
	if err := replaceFile(filepath.Join(s.Dir, "users"), lines.String()); err != nil || s.dovecot == nil {
		return err
	}
	return waitFor("user "+changed, 30*time.Second, func() error {
		known, err := run(nil, "doveadm", "-c", s.dovecotConf(), "user", changed)
		if err == nil && !strings.Contains(string(known), strings.TrimPrefix(s.quotaField(changed), "userdb_quota_rule=")) {
			err = errors.New("its quota is not known to Dovecot yet")
		}
		return err
	})
}

// quotaField is the extra field of the file of users.
func (s *Site) quotaField(user string) string {
	bytes, limited := s.quotas[user]
	if !limited {
		return ""
	}
	return fmt.Sprintf("userdb_quota_rule=*:bytes=%d", bytes)
}

// StopStore stops Dovecot: mailboxes can be neither filled nor read.
func (s *Site) StopStore() error { return s.dovecot.stop() }

// StartStore starts Dovecot again.
func (s *Site) StartStore() error { return s.startDovecot() }

// giveTo changes the owner of files.
func giveTo(owner string, paths ...string) error {
	who, err := user.Lookup(owner)
	if err != nil {
		return fmt.Errorf("%w: contrib/debian/setup.sh installs the packages", err)
	}
	uid, _ := strconv.Atoi(who.Uid) // numbers on this system
	gid, _ := strconv.Atoi(who.Gid)
	for _, path := range paths {
		if err := os.Chown(path, uid, gid); err != nil {
			return err
		}
	}
	return nil
}

// withTexts is what a file has with texts in the place of others, which must be there: pairs
// of an old one and a new one.
func withTexts(path string, pairs ...string) (string, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	text := string(content)
	for pair := range slices.Chunk(pairs, 2) {
		if !strings.Contains(text, pair[0]) {
			return "", fmt.Errorf("%s does not contain %q", path, pair[0])
		}
		text = strings.ReplaceAll(text, pair[0], pair[1])
	}
	return text, nil
}

// replaceFile puts a new version of a file in place of the old, whole.
func replaceFile(path, content string) error {
	if err := os.WriteFile(path+".new", []byte(content), 0o644); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// TLS is what a client of this site verifies its certificate with.
func (s *Site) TLS() *tls.Config {
	roots := x509.NewCertPool()
	roots.AddCert(s.world.authorities.tls.Certificate())
	return &tls.Config{RootCAs: roots, ServerName: s.Host, MinVersion: tls.VersionTLS12}
}

// Local is the local part of an address.
func Local(address string) string { return strings.TrimSuffix(address, "@"+pec.Domain(address)) }
