package integration

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/pec-milter/pec-milter/hsm"
)

// MeasureSocket is where a daemon that was built with the tag measured tells of
// itself, by HTTP.
func (p *Provider) MeasureSocket() string { return p.daemonFile("measure.sock") }

// PIDs are the processes of the provider that do the work of a message; the
// children of each belong to it.
func (p *Provider) PIDs() map[string]int {
	return map[string]int{p.MTA(): p.mta.pid(), "pec-milter": p.daemon.pid()}
}

// PID is that of the running Redis.
func (r *Redis) PID() int { return r.process.pid() }

// OpenSigner opens the provider's key beside its daemon. What a token is found by
// is set in the environment of this process: it can open that of one provider.
func (p *Provider) OpenSigner() (*hsm.Signer, error) {
	chain := p.daemonFile("signer.pem")
	if p.variant().KeyFile {
		return hsm.OpenFile(chain, p.daemonFile("signer.key"), slog.New(slog.DiscardHandler))
	}
	for _, setting := range p.daemonEnvironment() {
		name, value, _ := strings.Cut(setting, "=")
		if err := os.Setenv(name, value); err != nil {
			return nil, err
		}
	}
	return hsm.OpenToken(chain, hsm.Token{
		Module: softHSM, Label: p.token(), KeyLabel: "signer", PINFile: p.daemonFile("pin"),
	}, slog.New(slog.DiscardHandler))
}

// StartBeside starts another program of the site, which the world stops; its log is
// name.log. It gives the pid.
func (s *Site) StartBeside(name string, command ...string) (pid int, err error) {
	started, err := program{
		name: name + " of " + s.Name, command: command,
		log: filepath.Join(s.Dir, name+".log"), guard: s.world.guard,
	}.start()
	if err != nil {
		return 0, err
	}
	s.world.beside = append(s.world.beside, started)
	return started.pid(), nil
}

// Configure edits the site's Postfix with postconf(1). It holds from the next Reload
// on: one after the other, with a connection in between, can leave a service
// without a process for minutes.
func (s *Site) Configure(arguments ...string) error {
	_, err := run(nil, append([]string{"postconf", "-c", s.postfixDir()}, arguments...)...)
	return err
}

// AddSubmission makes another submission service at a port: as the site's own, but
// for some settings ("name=value"). It is there after Reload.
func (s *Site) AddSubmission(port int, settings ...string) error {
	own, added := address(s.Ports.Submission)+"/inet", address(port)+"/inet"
	out, err := run(nil, "postconf", "-c", s.postfixDir(), "-P", own)
	if err != nil {
		return err
	}
	all := []string{"-P"}
	for line := range strings.Lines(string(out)) {
		all = append(all, strings.Replace(strings.TrimSpace(line), own, added, 1))
	}
	for _, setting := range settings {
		all = append(all, added+"/"+setting)
	}
	return errors.Join(s.Configure("-M", fmt.Sprintf("%s=%s inet n - n - - smtpd", added, address(port))), s.Configure(all...))
}
