//go:build integration

package integration

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/pec-milter/pec-milter/internal/directory"
	"github.com/pec-milter/pec-milter/internal/testpki"
	"github.com/pec-milter/pec-milter/internal/testslapd"
	"github.com/pec-milter/pec-milter/pec"
)

// office publishes the providers directory: signed, by HTTPS, for clients that show
// a certificate (RFC 6109 section 5.6). Beside it is the LDAP mirror of the
// provider that fetches it.
type office struct {
	dir       string
	authority string // file with that of the server
	signer    *testpki.Credential
	server    *httptest.Server
	mirror    *testslapd.Server
	providers []*pec.Provider // all that the world has
	daemon    int             // the process that must not be another one

	mu   sync.Mutex
	file []byte
}

// openOffice has a provider fetch its directory from an office of its own, every
// second, until the end of the story.
func (s *stage) openOffice(_ *bytes.Buffer, _ *testscript.TestScript, args []string) error {
	p, err := s.provider(args[0])
	if err != nil {
		return err
	}
	if !testslapd.Installed() {
		return errors.New("slapd or ldapadd is missing: contrib/debian/setup.sh installs it")
	}
	o := &office{dir: p.daemonFile("office"), authority: s.world.ServerAuthorityFile()}
	s.office = o
	s.changed = append(s.changed, func() error { s.office = nil; return errors.Join(o.close(), os.RemoveAll(o.dir)) })
	if err := o.open(s.world); err != nil {
		return err
	}
	before, err := os.ReadFile(p.ConfigFile())
	if err != nil {
		return err
	}
	s.changed = append(s.changed, func() error {
		return errors.Join(p.StopDaemon(), replaceFile(p.ConfigFile(), string(before)), p.StartDaemon())
	})
	if err := errors.Join(p.StopDaemon(), replaceFile(p.ConfigFile(), o.configuration(string(before))), p.StartDaemon()); err != nil {
		return err
	}
	o.daemon = p.daemon.pid()
	return nil
}

func (o *office) path(name string) string { return filepath.Join(o.dir, name) }

func (o *office) open(w *World) (err error) {
	if err := os.Mkdir(o.dir, 0o700); err != nil {
		return err
	}
	if o.providers, err = readProviders(filepath.Join(w.trustDir(), "directory.ldif")); err != nil {
		return err
	}
	if o.signer, err = w.authorities.tls.NewProvider("Directory Office", "indice@office.example"); err != nil {
		return err
	}
	client, err := w.authorities.tls.NewServer([]string{"client.example"})
	if err != nil {
		return err
	}
	err = errors.Join(testpki.WriteCertificates(o.path("signers.pem"), o.signer.Certificate()),
		client.WriteFiles(o.path("client.pem"), o.path("client.key")),
		os.WriteFile(o.path("password"), []byte(testslapd.Password+"\n"), 0o600))
	if err != nil {
		return err
	}
	if o.mirror, err = testslapd.Start(w.options.Contrib, nil); err != nil {
		return err
	}
	return errors.Join(o.serve(w.authorities.tls), o.publish(o.providers))
}

func readProviders(path string) ([]*pec.Provider, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	d, _, err := directory.ReadLDIF(f)
	if err != nil {
		return nil, err
	}
	return d.Providers(), nil
}

func (o *office) serve(authority *testpki.Authority) error {
	own, err := authority.NewServer([]string{"localhost"})
	if err != nil {
		return err
	}
	clients := x509.NewCertPool()
	clients.AddCert(authority.Certificate())
	o.server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		o.mu.Lock()
		defer o.mu.Unlock()
		_, _ = w.Write(o.file)
	}))
	o.server.TLS = &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{own.Certificate().Raw}, PrivateKey: own.Key}},
		ClientAuth:   tls.RequireAndVerifyClientCert, ClientCAs: clients,
	}
	o.server.StartTLS()
	return nil
}

func (o *office) close() error {
	if o.server != nil {
		o.server.Close()
	}
	if o.mirror != nil {
		return o.mirror.Stop()
	}
	return nil
}

// publish signs a directory and serves it from now on.
func (o *office) publish(providers []*pec.Provider) error {
	var text bytes.Buffer
	if err := directory.WriteLDIF(&text, providers); err != nil {
		return err
	}
	signed, err := pec.SignData(text.Bytes(), o.signer.Key, o.signer.Chain, time.Now())
	if err == nil {
		o.put(signed)
	}
	return err
}

func (o *office) put(file []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.file = file
}

var ldifKey = regexp.MustCompile(`(?m)^ldif .*$`)

// configuration is a provider's, which fetches.
func (o *office) configuration(text string) string {
	return ldifKey.ReplaceAllString(text, fmt.Sprintf("ldif = %q", o.path("copy.ldif"))) + fmt.Sprintf(`
[directory_sync]
from = "%s/igpec.ldif.p7m"
signers = "office/signers.pem"
interval = "1s"
tls_ca = "%s"
tls_certificate = "office/client.pem"
tls_key = "office/client.key"

[directory_mirror]
url = "%s"
user = "%s"
password_file = "office/password"
`, o.server.URL, o.authority, o.mirror.URL, testslapd.User)
}

// publish serves the directory without the providers named, or in a way that must
// be refused: "unsigned", or "claiming DOMAIN".
func (s *stage) publish(_ *bytes.Buffer, _ *testscript.TestScript, args []string) error {
	o := s.office
	switch args[0] {
	case "unsigned":
		text, err := os.ReadFile(filepath.Join(s.world.trustDir(), "directory.ldif"))
		o.put(text)
		return err
	case "claiming":
		thief := *o.providers[0]
		thief.Name, thief.Domains = "Thief", []string{args[1]}
		others := slices.DeleteFunc(slices.Clone(o.providers), func(p *pec.Provider) bool { return slices.Contains(p.Domains, args[1]) })
		return o.publish(append(others, &thief))
	case "all":
		return o.publish(o.providers)
	case "without":
		return o.publish(slices.DeleteFunc(slices.Clone(o.providers), func(p *pec.Provider) bool { return slices.Contains(p.Domains, args[1]) }))
	}
	return fmt.Errorf("no way %q to publish", args[0])
}

// known waits until the daemon's copy and its mirror have a domain, or have it no
// more; the daemon has not been started again meanwhile.
func (s *stage) known(_ *bytes.Buffer, _ *testscript.TestScript, args []string) error {
	p, err := s.provider(args[0])
	if err != nil {
		return err
	}
	want := args[2] == "yes"
	return waitFor("directory of "+p.Name, patience, func() error {
		if p.daemon.ended() || p.daemon.pid() != s.office.daemon {
			return hopeless{errors.New("the daemon is another one")}
		}
		providers, err := readProviders(s.office.path("copy.ldif"))
		if err != nil {
			return err
		}
		inCopy := slices.ContainsFunc(providers, func(p *pec.Provider) bool { return slices.Contains(p.Domains, args[1]) })
		dump, err := s.office.mirror.Dump()
		if err != nil {
			return err
		}
		if inMirror := strings.Contains(dump, "managedDomains: "+args[1]+"\n"); inCopy != want || inMirror != want {
			return fmt.Errorf("%s: copy %v, mirror %v, want %v", args[1], inCopy, inMirror, want)
		}
		return nil
	})
}
