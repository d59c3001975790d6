//go:build integration

package integration

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// supervisor does what systemd does with a service whose sockets it holds: starts it
// with them, and again when it ends. Its sockets come from systemd-socket-activate,
// which the first connection makes start it.
const supervisor = `exec systemd-socket-activate %s sh -c '
while ! test -e stop; do
	sh -c "echo \$\$ >pid.new; mv pid.new pid; LISTEN_PID=\$\$ exec %s serve --config %s"
done'
`

// activate has the provider's pec-milter started by its sockets, until the end of
// the story.
func (s *stage) activate(_ *bytes.Buffer, _ *testscript.TestScript, args []string) error {
	if _, err := exec.LookPath("systemd-socket-activate"); err != nil {
		return fmt.Errorf("%w: contrib/debian/setup.sh test installs it", err)
	}
	p, err := s.provider(args[0])
	if err != nil {
		return err
	}
	s.changed = append(s.changed, func() error { return errors.Join(p.stopActivated(), p.StartDaemon()) })
	return errors.Join(p.StopDaemon(), p.startActivated())
}

func (p *Provider) startActivated() error {
	var options, sockets []string
	for _, door := range []string{"access", "incoming", "delivery"} {
		sockets = append(sockets, filepath.Join(p.Dir, "queue", "pec-milter", door+".sock"))
	}
	if lifetime := p.lifetimeSocket(); lifetime != "" {
		sockets = append(sockets, lifetime)
	}
	for _, socket := range sockets {
		options = append(options, "-l "+socket)
	}
	for _, variable := range append(p.daemonEnvironment(), "PEC_MILTER_CLOCK="+p.daemonFile("clock"), "PEC_FAULT_FILE="+p.daemonFile("fault")) {
		options = append(options, "-E "+variable)
	}
	script := "cd " + p.daemonFile("") + "\n" +
		fmt.Sprintf(supervisor, strings.Join(options, " "), p.world.options.Binary, p.ConfigFile())
	var err error
	p.daemon, err = program{
		name: "systemd-socket-activate of " + p.Name, command: []string{"sh", "-c", script}, log: p.LogFile(), guard: p.world.guard,
	}.start()
	for _, socket := range sockets { // Postfix must be let in, which systemd does by SocketGroup=
		err = errors.Join(err, waitFor(socket, 10*time.Second, func() error { return os.Chmod(socket, 0o666) }))
	}
	if err != nil {
		return err
	}
	if err := p.waitForServer(p.daemon, p.LogFile(), "unix", sockets[2]); err != nil {
		return err
	}
	return waitFor("the first pec-milter of "+p.Name, 10*time.Second, func() error {
		_, err := p.activatedPID()
		return err
	})
}

// stopActivated ends pec-milter, and then what holds its sockets.
func (p *Provider) stopActivated() error {
	stop := p.daemonFile("stop")
	if err := os.WriteFile(stop, nil, 0o644); err != nil {
		return err
	}
	defer os.Remove(stop)
	pid, err := p.activatedPID()
	if err == nil {
		err = syscall.Kill(pid, syscall.SIGTERM)
	}
	return errors.Join(err, waitFor("the end of "+p.daemon.name, 40*time.Second, func() error {
		if !p.daemon.ended() {
			return errors.New("it runs")
		}
		return nil
	}))
}

// activatedPID is the process that was started last.
func (p *Provider) activatedPID() (int, error) {
	text, err := os.ReadFile(p.daemonFile("pid"))
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(text)))
}

// restartActivated is systemctl restart: SIGTERM, and then there is another.
func (p *Provider) restartActivated() error {
	old, err := p.activatedPID()
	if err == nil {
		err = syscall.Kill(old, syscall.SIGTERM)
	}
	if err != nil {
		return err
	}
	return waitFor("another pec-milter of "+p.Name, 40*time.Second, func() error {
		if pid, err := p.activatedPID(); err != nil || pid == old {
			return errors.Join(errors.New("it is the same"), err)
		}
		return nil
	})
}

// restarts restarts a pec-milter that is activated again and again, while clients
// submit, and prints how often, and how many got an error for a try.
func (s *stage) restarts(out *bytes.Buffer, _ *testscript.TestScript, args []string) error {
	p, err := s.provider(args[0])
	if err != nil {
		return err
	}
	clients, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(s.stopped, 5*time.Minute)
	defer cancel()
	var failed atomic.Int64
	l := &load{alfa: p, name: "restart", clients: clients, letters: 9 * clients, exactly: true, to: args[2:],
		submit: func(l *load, w *letter) error {
			err := l.send(w)
			if err != nil {
				failed.Add(1)
				fmt.Fprintf(os.Stderr, "during a restart: %s: %v\n", w.id, err)
			}
			time.Sleep(300 * time.Millisecond)
			return err
		}}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		l.run(ctx)
	}()
	count := 0
	for err == nil && !isClosed(ended) {
		err = p.restartActivated()
		count++
		time.Sleep(300 * time.Millisecond)
	}
	<-ended
	fmt.Fprintf(out, "restarts %d\nerrors %d\nnot accepted %d\n", count, failed.Load(), l.waiting.Load())
	fmt.Fprintf(os.Stderr, "%d letters by %d clients, %d restarts, %d errors\n", 9*clients, clients, count, failed.Load())
	return err
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
