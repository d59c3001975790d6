//go:build integration

package integration

import (
	"cmp"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// engine is a Docker engine: the machine's if that runs, else one of our own with its
// own directories.
type engine struct {
	environment []string // for the clients
	daemon      *process // nil: it is the machine's
	guard       *guard
	directory   string
}

// startEngine finds an engine or starts one, which ends with the test.
//
// Two engines on one machine do not get on: each has rules for the packets of all bridges,
// and those of the machine's drop what ours lets through.
func startEngine(t *testing.T) *engine {
	t.Helper()
	needs(t, "docker", "dockerd", "mmdebstrap")
	e := &engine{}
	if _, err := run(nil, "docker", "version"); err == nil {
		t.Log("the engine is the one that runs on this machine")
		return e
	}
	if err := e.start(); err != nil {
		skip(t, "no Docker engine runs here, and none can be started: "+err.Error())
	}
	t.Log("the engine is our own, in ", e.directory)
	t.Cleanup(func() {
		if err := errors.Join(e.daemon.stop(), e.leave()); err != nil {
			t.Errorf("stopping our engine: %v", err)
		}
	})
	return e
}

// start starts an engine that touches nothing of the machine's: not even its packet filter.
// Its containers reach each other, and we their ports, but not the world outside.
func (e *engine) start() (err error) {
	// Not TMPDIR: the path of a socket has at most 107 bytes.
	if e.directory, err = os.MkdirTemp("/tmp", "pec"); err != nil {
		return err
	}
	if e.guard, err = startGuard(e.directory); err != nil {
		return err
	}
	config := filepath.Join(e.directory, "daemon.json") // the machine's may contradict
	if err := os.WriteFile(config, []byte("{}\n"), 0o600); err != nil {
		return err
	}
	log, socket := filepath.Join(e.directory, "dockerd.log"), "unix://"+filepath.Join(e.directory, "socket")
	e.environment = []string{"DOCKER_HOST=" + socket}
	if e.daemon, err = (program{
		name: "our Docker engine", log: log, guard: e.guard,
		command: []string{
			"dockerd", "--config-file", config, "--host", socket, "--pidfile", filepath.Join(e.directory, "pid"),
			"--data-root", filepath.Join(e.directory, "data"), "--exec-root", filepath.Join(e.directory, "exec"),
			"--bridge", "none", "--iptables=false", "--ip-forward=false", "--default-address-pool", "base=198.19.0.0/16,size=24",
		},
	}).start(); err != nil {
		return err
	}
	err = waitFor("our Docker engine", time.Minute, func() error {
		if e.daemon.ended() {
			return hopeless{errors.New("it ended:\n" + tail(log))}
		}
		_, err := run(e.environment, "docker", "version")
		return err
	})
	if err != nil {
		err = errors.Join(err, e.daemon.kill(), e.leave())
	}
	return err
}

// leave removes the directory of an engine that has ended, which leaves the name of a network
// namespace mounted.
func (e *engine) leave() error {
	err := unix.Unmount(filepath.Join(e.directory, "exec", "netns", "default"), unix.MNT_DETACH)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EINVAL) { // it was not mounted
		err = nil
	}
	return errors.Join(err, e.guard.stop(), os.RemoveAll(e.directory))
}

// docker runs the client and gives what it prints.
func (e *engine) docker(arguments ...string) (string, error) {
	out, err := run(e.environment, append([]string{"docker"}, arguments...)...)
	return strings.TrimSpace(string(out)), err
}

// debianSlim is the image that contrib/docker/Dockerfile begins with.
const debianSlim = "debian:12-slim"

// base gives the name of an image to begin with: Debian's if the engine has it or a
// registry does, else one that is made of Debian's packages as the README says.
func (e *engine) base(t *testing.T, name, command string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	pull := exec.CommandContext(ctx, "docker", "pull", debianSlim)
	pull.Env = append(os.Environ(), e.environment...)
	if _, err := e.docker("image", "inspect", debianSlim); err == nil || pull.Run() == nil {
		return debianSlim
	}
	ours := strings.ReplaceAll(command, debianSlim, name)
	if ours == command {
		t.Fatalf("%q of the README makes no %s", command, debianSlim)
	}
	if _, err := run(e.environment, "sh", "-euc", ours); err != nil {
		t.Fatal(err)
	}
	return name
}

// composer is the Compose that is installed: "docker compose", or docker-compose 1.29.
func (e *engine) composer(t *testing.T) string {
	t.Helper()
	if _, err := e.docker("compose", "version"); err == nil {
		return "docker compose"
	}
	needs(t, "docker-compose")
	return "docker-compose"
}

// composed are the containers of contrib/docker/compose.yml, in a project of the
// test's own.
type composed struct {
	*engine
	t          *testing.T
	project    string
	repository string
	keys       string   // what is mounted: PEC_DIR
	variables  []string // of compose.yml
	compose    string
	world      *World // alfa and beta, for the clients and the oracle
}

// run runs a command line of the README, or one like it, in the repository.
func (c *composed) run(line string) string {
	c.t.Helper()
	cmd := exec.Command("sh", "-euc", strings.ReplaceAll(line, "docker compose", c.compose))
	cmd.Dir = c.repository
	cmd.Env = append(append(os.Environ(), c.environment...), c.variables...)
	begun := time.Now()
	out, err := cmd.CombinedOutput()
	if err != nil {
		c.t.Fatalf("%s: %v\n%s", line, err, out)
	}
	c.t.Logf("%4.0f s  %s", time.Since(begun).Seconds(), line)
	return string(out)
}

// id is the container of a service.
func (c *composed) id(service string) (string, error) {
	id, err := c.docker("ps", "--all", "--quiet", "--no-trunc",
		"--filter", "label=com.docker.compose.project="+c.project, "--filter", "label=com.docker.compose.service="+service,
		"--filter", "label=com.docker.compose.oneoff=False")
	if err == nil && (id == "" || strings.Contains(id, "\n")) {
		err = errors.New("service " + service + " has the containers " + cmp.Or(id, "none"))
	}
	return id, err
}

// exec runs a command in the container of a service.
func (c *composed) exec(service string, command ...string) (string, error) {
	id, err := c.id(service)
	if err != nil {
		return "", err
	}
	return c.docker(append([]string{"exec", id}, command...)...)
}
