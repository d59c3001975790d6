package integration

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// sendmailTree is where contrib/debian/setup.sh unpacks Sendmail: its package cannot be
// installed beside that of Postfix.
const sendmailTree = "/var/cache/pec-milter-test/sendmail"

const (
	sendmailProgram = sendmailTree + "/usr/libexec/sendmail/sendmail"
	makemapProgram  = sendmailTree + "/usr/libexec/sendmail/makemap"
	sendmailMacros  = sendmailTree + "/usr/share/sendmail/cf/"
)

// sendmail is the private Sendmail of a provider.
type sendmail struct{ *Site }

// enterScript makes a machine of its own for a Sendmail: it waits for a minute where the
// name of the host has no dot, logs to /dev/log alone, and looks for the settings of SASL
// at a fixed place.
const enterScript = `
hostname "$2"
mount --make-rprivate /
mount --bind "$1/hosts" /etc/hosts
mount --bind "$1/sasl" /usr/lib/sasl2
mount --bind "$1/dev" /dev
shift 2
exec "$@"
`

// start configures it by contrib/sendmail and starts it.
func (s sendmail) start() (*process, error) {
	if err := errors.Join(s.makeMachine(), s.configure()); err != nil {
		return nil, err
	}
	if err := s.listenForLog(); err != nil {
		return nil, err
	}
	return program{
		name: "Sendmail of " + s.Name,
		command: []string{"unshare", "--uts", "--mount", "sh", "-euc", enterScript, "sh", s.dir(""), s.Host,
			sendmailProgram, "-C", s.dir("sendmail.cf"), "-bD", "-q1s"},
		log:   filepath.Join(s.Dir, "sendmail.out"),
		guard: s.world.guard,
	}.start()
}

// lifetimeSocket is where a Sendmail asks; empty: the site has none.
func (s *Site) lifetimeSocket() string {
	if _, asks := s.server().(sendmail); !asks {
		return ""
	}
	return filepath.Join(s.Dir, "queue", "pec-milter", "lifetime.sock")
}

func (s sendmail) dir(name string) string { return filepath.Join(s.Dir, "sendmail", name) }

// makeMachine writes what enterScript puts in the place of the machine's files.
func (s sendmail) makeMachine() error {
	if err := makeDirectories(s.Dir, "sendmail/dev", "sendmail/sasl", "queue/pec-milter"); err != nil {
		return err
	}
	for name, minor := range map[string]int{"null": 3, "zero": 5, "random": 8, "urandom": 9} {
		err := syscall.Mknod(s.dir("dev/"+name), syscall.S_IFCHR|0o666, 1<<8|minor)
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("making /dev/%s: %w", name, err)
		}
	}
	sasl := "pwcheck_method: auxprop\nauxprop_plugin: sasldb\nsasldb_path: " + s.passwords() + "\nmech_list: PLAIN LOGIN\n"
	return errors.Join(
		os.WriteFile(s.dir("hosts"), []byte("127.0.0.1 "+s.Host+" localhost\n"), 0o644),
		os.WriteFile(s.dir("sasl/Sendmail.conf"), []byte(sasl), 0o600),
	)
}

func (s sendmail) passwords() string { return s.dir("sasl/passwords") }

// addUser: the password is in a database of SASL's, for Sendmail cannot ask Dovecot.
func (s sendmail) addUser(user string) error {
	if err := makeDirectories(s.Dir, "sendmail/sasl"); err != nil {
		return err
	}
	cmd := exec.Command("saslpasswd2", "-p", "-c", "-f", s.passwords(), "-u", s.Domain, Local(user))
	cmd.Stdin = strings.NewReader(Password)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("saslpasswd2: %w\n%s", err, out)
	}
	return os.Chmod(s.passwords(), 0o600) // as Sendmail wants it
}

// sendmailConf is what conf/sendmail.mc is filled in with.
type sendmailConf struct {
	siteConf
	CF, Sendmail string
	Routes       []route
}

// route is where mail for a domain goes: to a port of this machine.
type route struct {
	Domain string
	Port   int
}

// Hops are the ports of the routes, each once: a mailer for each.
func (c sendmailConf) Hops() (ports []int) {
	known := map[int]bool{}
	for _, r := range c.Routes {
		if !known[r.Port] {
			ports = append(ports, r.Port)
		}
		known[r.Port] = true
	}
	return ports
}

// configure makes sendmail.cf with m4, and the table of whom TLS is wanted from.
func (s sendmail) configure() error {
	client := s.dir("clientqueue")
	if err := errors.Join(os.MkdirAll(s.dir("queue"), 0o700), os.MkdirAll(client, 0o700), os.Chmod(client, 0o770), giveTo("mail", client)); err != nil {
		return err
	}
	conf := sendmailConf{s.conf(), sendmailMacros, s.dir(""), s.routes()}
	for _, name := range []string{"sendmail", "submit"} {
		mc, cf := s.dir(name+".mc"), s.dir(name+".cf")
		if err := errors.Join(writeConf(mc, name+".mc", conf), makeConfiguration(mc, cf)); err != nil {
			return err
		}
	}
	text, err := withTexts(s.dir("sendmail.cf"), s.cfEdits...)
	if err != nil {
		return err
	}
	if err := os.WriteFile(s.dir("sendmail.cf"), []byte(text), 0o644); err != nil {
		return err
	}
	table := s.tlsWanted()
	if err := os.WriteFile(s.dir("access"), []byte(table), 0o644); err != nil {
		return err
	}
	makemap := exec.Command(makemapProgram, "-C", s.dir("sendmail.cf"), "hash", s.dir("access"))
	makemap.Stdin = strings.NewReader(table)
	if out, err := makemap.CombinedOutput(); err != nil {
		return fmt.Errorf("makemap: %w\n%s", err, out)
	}
	return nil
}

// makeConfiguration has m4 make a sendmail.cf. What m4 says is an error: it goes on
// after nearly all of them.
func makeConfiguration(mc, cf string) error {
	var said bytes.Buffer
	m4 := exec.Command("m4", "-D_CF_DIR_="+sendmailMacros, mc)
	m4.Stderr = &said
	text, err := m4.Output()
	if err != nil || said.Len() > 0 {
		return fmt.Errorf("m4 %s: %w\n%s", mc, errors.Join(err, errors.New("it complains")), &said)
	}
	return os.WriteFile(cf, text, 0o644)
}

// routes are those toward the other sites.
func (s sendmail) routes() (routes []route) {
	for _, other := range s.world.sites() {
		if other.Domain != s.Domain && other.first == nil {
			routes = append(routes, route{other.Domain, other.Ports.SMTP})
		}
	}
	if refusing := s.refusing(); refusing != nil {
		routes = append(routes, route{RefusedDomain, refusing.Ports.SMTP}, route{NowhereDomain, refusing.Ports.SMTP})
	}
	return routes
}

// tlsWanted makes TLS toward the other providers mandatory and verified.
func (s sendmail) tlsWanted() string {
	lines := "TLS_Rcpt:" + s.Domain + "\tOK\n" // a table must not be empty
	for _, other := range s.world.Providers {
		if other.Domain != s.Domain {
			lines += fmt.Sprintf("TLS_Rcpt:%s\tVERIFY+CN:%s\n", other.Domain, other.Host)
		}
	}
	if refusing := s.refusing(); refusing != nil {
		lines += fmt.Sprintf("TLS_Rcpt:%s\tVERIFY+CN:%s\n", RefusedDomain, refusing.Host)
	}
	return lines
}

// listenForLog writes what comes to the log socket into the mail log, until the socket
// is removed with its directory.
func (s sendmail) listenForLog() error {
	socket := s.dir("dev/log")
	if _, err := os.Stat(socket); err == nil {
		return nil // it was started before, and we still listen
	}
	log, err := os.OpenFile(s.MailLog(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Net: "unixgram", Name: socket})
	if err != nil {
		return errors.Join(err, log.Close())
	}
	s.world.logs = append(s.world.logs, conn)
	go copyLog(log, conn)
	return os.Chmod(socket, 0o666)
}

// copyLog takes datagrams, a line each, until the socket is closed.
func copyLog(log *os.File, conn *net.UnixConn) {
	defer log.Close()
	line := make([]byte, 64<<10)
	for {
		n, err := conn.Read(line)
		if err != nil {
			return
		}
		_, _ = log.Write(append(bytes.TrimRight(line[:n], "\x00\n"), '\n')) // a test's log: nobody to tell
	}
}
