package main

import (
	"embed"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"time"

	gomilter "github.com/d--j/go-milter"

	"github.com/pec-milter/pec-milter/internal/integration"
)

//go:embed conf
var conf embed.FS

// compared are the programs that pec-milter is compared with, each behind a
// submission service of its own of the same Postfix.
type compared struct {
	name, program string // program must be installed; empty: it is our own
	start         func(p *integration.Provider) (pid int, settings []string, err error)
}

var comparisons = []compared{
	{name: plain, start: func(*integration.Provider) (int, []string, error) { return 0, []string{"smtpd_milters="}, nil }},
	{name: noop, start: startNoop},
	{name: openDKIM, program: "opendkim", start: startOpenDKIM},
	{name: amavis, program: "amavisd", start: startAmavis},
}

// startNoop starts this program as a milter that lets everything pass.
func startNoop(p *integration.Provider) (int, []string, error) {
	program, err := os.Executable()
	if err != nil {
		return 0, nil, err
	}
	socket := filepath.Join(p.Dir, "queue", "private", "no-op")
	pid, err := p.StartBeside("no-op", program, "-no-op", socket)
	return pid, []string{"smtpd_milters=unix:private/no-op"}, errors.Join(err, await("unix", socket))
}

// serveNoop is the milter that looks at everything and changes nothing.
func serveNoop(socket string) error {
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	if err := os.Chmod(socket, 0o666); err != nil {
		return err
	}
	return gomilter.NewServer(gomilter.WithMilter(func() gomilter.Milter { return gomilter.NoOpMilter{} })).Serve(listener)
}

func startOpenDKIM(p *integration.Provider) (int, []string, error) {
	config := filepath.Join(p.Dir, "opendkim.conf")
	if err := integration.WriteConf(conf, config, "opendkim.conf", p); err != nil {
		return 0, nil, err
	}
	key := filepath.Join(p.Dir, "opendkim.key")
	if out, err := exec.Command("openssl", "genrsa", "-traditional", "-out", key, "2048").CombinedOutput(); err != nil {
		return 0, nil, fmt.Errorf("openssl: %w\n%s", err, out)
	}
	if err := giveTo("postfix", key); err != nil {
		return 0, nil, err
	}
	pid, err := p.StartBeside("opendkim", "opendkim", "-f", "-x", config)
	return pid, []string{"smtpd_milters=unix:private/opendkim"},
		errors.Join(err, await("unix", filepath.Join(p.Dir, "queue", "private", "opendkim")))
}

// startAmavis starts amavisd as a content filter: what it has looked at comes back
// by a service without filter.
func startAmavis(p *integration.Provider) (int, []string, error) {
	port, err := integration.FreePort()
	if err != nil {
		return 0, nil, err
	}
	home, config := filepath.Join(p.Dir, "amavis"), filepath.Join(p.Dir, "amavisd.conf")
	if err := errors.Join(os.MkdirAll(filepath.Join(home, "tmp"), 0o755), os.MkdirAll(filepath.Join(home, "db"), 0o755),
		giveTo("amavis", home, filepath.Join(home, "tmp"), filepath.Join(home, "db"))); err != nil {
		return 0, nil, err
	}
	data := struct {
		*integration.Provider
		Port, Inject int
	}{p, port, p.Ports.Inject}
	if err := integration.WriteConf(conf, config, "amavisd.conf", data); err != nil {
		return 0, nil, err
	}
	if err := p.Configure("-M", "amavis/unix=amavis unix - - n - 12 smtp"); err != nil {
		return 0, nil, err
	}
	pid, err := p.StartBeside("amavis", "amavisd", "-c", config, "foreground")
	address := fmt.Sprintf("127.0.0.1:%d", port)
	return pid, []string{"smtpd_milters=", "content_filter=amavis:[127.0.0.1]:" + strconv.Itoa(port)},
		errors.Join(err, await("tcp", address))
}

// await waits until a server takes connections.
func await(network, address string) error {
	end := time.Now().Add(time.Minute)
	for {
		conn, err := net.Dial(network, address)
		if err == nil {
			return conn.Close()
		}
		if time.Now().After(end) {
			return err
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func giveTo(owner string, paths ...string) error {
	who, err := user.Lookup(owner)
	if err != nil {
		return err
	}
	uid, _ := strconv.Atoi(who.Uid) // numbers on this system
	gid, _ := strconv.Atoi(who.Gid)
	for _, path := range paths {
		err = errors.Join(err, os.Chown(path, uid, gid))
	}
	return err
}
