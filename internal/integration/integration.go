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
	"fmt"
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
	IMAPS       int
	POP3S       int
}

func (p *Ports) fields() []*int {
	return []*int{&p.SMTP, &p.Submission, &p.Submissions, &p.Inject, &p.IMAPS, &p.POP3S}
}

// choosePorts draws free ports for all, below those that the system gives to
// clients. Somebody else may take one before its server does: that server then
// says so and nothing starts.
func choosePorts(all ...*Ports) error {
	for _, ports := range all {
		for _, port := range ports.fields() {
			listener, err := listenSomewhere()
			if err != nil {
				return err
			}
			defer listener.Close() // all are held until all are chosen
			*port = listener.Addr().(*net.TCPAddr).Port
		}
	}
	return nil
}

func listenSomewhere() (net.Listener, error) {
	for range 100 {
		address := address(20000 + rand.IntN(10000))
		if listener, err := net.Listen("tcp", address); err == nil {
			return listener, nil
		}
	}
	return nil, fmt.Errorf("no free port found on 127.0.0.1 between 20000 and 29999")
}

// address is a port of this machine.
func address(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// writeConf writes a file of conf/, filled in with data.
func writeConf(path, name string, data any) error {
	t, err := template.ParseFS(conf, "conf/"+name)
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
