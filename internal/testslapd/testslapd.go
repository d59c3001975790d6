// Package testslapd runs a private OpenLDAP server for tests: with its own
// directory and ports, set up with the files of contrib/openldap as an operator
// does it. It never touches the machine's own server.
package testslapd

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// slapd is where Debian has the server; slapadd is beside it.
const slapd = "/usr/sbin/slapd"

// User is who may write, with Password.
const (
	User     = "cn=pec-milter,o=postacert"
	Password = "a secret of the tests"
)

// Installed tells whether the server can be started here.
func Installed() bool {
	_, err := os.Stat(slapd)
	_, err2 := exec.LookPath("ldapadd")
	return err == nil && err2 == nil
}

// TLS are files in PEM of the server; CA is who may certify its clients.
type TLS struct{ CA, Certificate, Key string }

// Server is a running server.
type Server struct {
	URL, SecureURL string // ldap:// and ldaps:// on 127.0.0.1; the second without TLS answers nobody
	SocketURL      string // ldapi://, where this process may do anything

	directory string
	process   *exec.Cmd
	ended     chan error
}

// Start makes a server in a new directory with the files of contrib/openldap, and
// waits until it answers. tls may be nil. Stop removes the directory.
func Start(contrib string, tls *TLS) (_ *Server, err error) {
	s := &Server{}
	if s.directory, err = os.MkdirTemp("", "slapd"); err != nil {
		return nil, err
	}
	ports, err := freePorts(2)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(s.directory))
	}
	s.URL, s.SecureURL = "ldap://"+ports[0], "ldaps://"+ports[1]
	s.SocketURL = "ldapi://" + url.PathEscape(s.file("socket"))
	if err := s.configure(tls); err != nil {
		return nil, errors.Join(err, os.RemoveAll(s.directory))
	}
	if err := errors.Join(s.Begin(), s.setUp(contrib)); err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	return s, nil
}

func freePorts(n int) (addresses []string, err error) {
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close()
		addresses = append(addresses, l.Addr().String())
	}
	return addresses, nil
}

func (s *Server) file(name string) string { return filepath.Join(s.directory, name) }

// configure makes a configuration like that of a fresh installation: this user may
// do anything over the socket.
func (s *Server) configure(tls *TLS) error {
	for _, name := range []string{"conf", "data"} {
		if err := os.Mkdir(s.file(name), 0o700); err != nil {
			return err
		}
	}
	global := "dn: cn=config\nobjectClass: olcGlobal\ncn: config\n"
	if tls != nil {
		global += fmt.Sprintf("olcTLSCACertificateFile: %s\nolcTLSCertificateFile: %s\nolcTLSCertificateKeyFile: %s\n", tls.CA, tls.Certificate, tls.Key)
	}
	text := global + fmt.Sprintf(`
dn: cn=module{0},cn=config
objectClass: olcModuleList
cn: module{0}
olcModulePath: /usr/lib/ldap
olcModuleLoad: back_mdb

dn: cn=schema,cn=config
objectClass: olcSchemaConfig
cn: schema

include: file:///etc/ldap/schema/core.ldif

dn: olcDatabase={0}config,cn=config
objectClass: olcDatabaseConfig
olcDatabase: {0}config
olcAccess: to * by dn.exact=gidNumber=%d+uidNumber=%d,cn=peercred,cn=external,cn=auth manage by * none
`, os.Getgid(), os.Getuid())
	_, err := run(text, "/usr/sbin/slapadd", "-n", "0", "-F", s.file("conf"))
	return err
}

// Begin starts the server, or starts it again after End, and waits until it
// answers.
func (s *Server) Begin() error {
	var log bytes.Buffer
	s.process = exec.Command(slapd, "-F", s.file("conf"), "-d", "0", "-h", s.URL+" "+s.SecureURL+" "+s.SocketURL)
	s.process.Stdout, s.process.Stderr = &log, &log
	s.process.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.process.Start(); err != nil {
		return err
	}
	s.ended = make(chan error, 1)
	go func() { s.ended <- s.process.Wait() }()
	for range 3000 {
		time.Sleep(20 * time.Millisecond)
		select {
		case err := <-s.ended:
			s.ended <- err
			return fmt.Errorf("slapd ended: %w\n%s", err, &log)
		default:
		}
		if conn, err := net.Dial("unix", s.file("socket")); err == nil {
			return conn.Close()
		}
	}
	return errors.New("slapd does not answer within a minute")
}

// setUp does what contrib/openldap/README.md says.
func (s *Server) setUp(contrib string) error {
	if err := s.add(filepath.Join(contrib, "openldap", "pec-schema.ldif")); err != nil {
		return err
	}
	text, err := os.ReadFile(filepath.Join(contrib, "openldap", "pec-database.ldif"))
	if err != nil {
		return err
	}
	hash, err := run("", "slappasswd", "-s", Password)
	if err != nil {
		return err
	}
	edited := strings.NewReplacer("/var/lib/ldap/postacert", s.file("data"), "HASH-OF-THE-PASSWORD", strings.TrimSpace(hash)).Replace(string(text))
	if err := os.WriteFile(s.file("database.ldif"), []byte(edited), 0o600); err != nil {
		return err
	}
	return s.add(s.file("database.ldif"))
}

func (s *Server) add(file string) error {
	_, err := run("", "ldapadd", "-Q", "-Y", "EXTERNAL", "-H", s.SocketURL, "-f", file)
	return err
}

// Dump gives all entries below o=postacert as LDIF, by ldapsearch, who knows
// nothing of us.
func (s *Server) Dump() (string, error) {
	return run("", "ldapsearch", "-x", "-LLL", "-o", "ldif-wrap=no", "-H", s.URL, "-b", "o=postacert")
}

// End ends the server and keeps its directory.
func (s *Server) End() error {
	_ = s.process.Process.Signal(syscall.SIGTERM)
	select {
	case <-s.ended:
	case <-time.After(time.Minute):
		_ = s.process.Process.Kill()
		return errors.New("slapd did not end within a minute: killed")
	}
	return nil
}

// Stop ends the server and removes its directory.
func (s *Server) Stop() error { return errors.Join(s.End(), os.RemoveAll(s.directory)) }

func run(input string, command ...string) (string, error) {
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Stdin = strings.NewReader(input)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%q: %w\n%s", command, err, out)
	}
	return string(out), nil
}
