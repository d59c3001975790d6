// Package integration starts private mail servers on the loopback interface:
// PEC providers, each with its own Postfix, Dovecot, clamd, pec-milter and key on a
// SoftHSM token, and an ordinary mail domain. The stories of this directory
// (testdata, build tag integration) and the demo run on them.
//
// Postfix, Dovecot and clamd load the very files of contrib/. Nothing touches the mail
// servers of the machine: every instance has its own configuration, directories
// and free ports, and is stopped by its pid. Only root can start a Postfix.
package integration

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"text/template"
)

// Password is the password of every user of every site.
const Password = "segreta"

//go:embed conf
var conf embed.FS

// Ports are a site's ports on 127.0.0.1. Those of a provider's alone are 0 at
// an ordinary site.
type Ports struct {
	SMTP        int // from the world
	Submission  int // STARTTLS and SASL
	Submissions int // the same, TLS at once
	Inject      int // without milter
	Access      int // the access door's milter, with Variant.TCP
	IMAPS       int
	POP3S       int
}

func (p *Ports) fields() []*int {
	return []*int{&p.SMTP, &p.Submission, &p.Submissions, &p.Inject, &p.Access, &p.IMAPS, &p.POP3S}
}

// choosePorts draws free ports for all, below those that the system gives to
// clients, and claims them against other worlds of this machine that are starting
// too, as long as the claims are open. Some other program may take one before its
// server does: that server then says so and nothing starts.
func choosePorts(all ...*Ports) (claims []io.Closer, err error) {
	for _, ports := range all {
		for _, port := range ports.fields() {
			claim, err := claimPort(port)
			if err != nil {
				return nil, errors.Join(err, closeAll(claims))
			}
			claims = append(claims, claim)
		}
	}
	return claims, nil
}

// claimPort draws a port. The claim is a socket whose name is the port's: two
// cannot have it, and it goes with its process.
func claimPort(port *int) (io.Closer, error) {
	for range 100 {
		*port = 20000 + rand.IntN(10000)
		claim, err := net.Listen("unix", fmt.Sprintf("@pec-milter-test-port-%d", *port))
		if err != nil {
			continue
		}
		listener, err := net.Listen("tcp", address(*port))
		if err != nil {
			_ = claim.Close()
			continue
		}
		return claim, listener.Close()
	}
	return nil, errors.New("no free port found on 127.0.0.1 between 20000 and 29999")
}

func closeAll(closers []io.Closer) error {
	var errs []error
	for _, c := range closers {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}

// FreePort is a port of this machine that nobody has now.
func FreePort() (port int, err error) {
	claim, err := claimPort(&port)
	if err != nil {
		return 0, err
	}
	return port, claim.Close()
}

// address is a port of this machine.
func address(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// writeConf writes a file of conf/, filled in with data.
func writeConf(path, name string, data any) error { return WriteConf(conf, path, name, data) }

// WriteConf writes a file of the directory conf in files, filled in with data.
func WriteConf(files fs.FS, path, name string, data any) error {
	t, err := template.ParseFS(files, "conf/"+name)
	if err != nil {
		return err
	}
	var text bytes.Buffer
	if err := t.Execute(&text, data); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return os.WriteFile(path, text.Bytes(), 0o644)
}

// makeDirectories makes directories below one, with their parents, for all to
// read: Postfix and Dovecot do not run as root for long.
func makeDirectories(parent string, names ...string) error {
	for _, name := range names {
		if err := os.MkdirAll(filepath.Join(parent, name), 0o755); err != nil {
			return err
		}
	}
	return nil
}
