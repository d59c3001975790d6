package integration

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// stopTimeout is how long a server may take to end by itself.
const stopTimeout = 15 * time.Second

// process is a server that this package started and stops by its pid.
type process struct {
	name string
	cmd  *exec.Cmd
	done chan struct{} // closed when the process has ended
}

// program says what to run.
type program struct {
	name    string
	command []string
	env     []string // beside our own environment
	log     string   // file that takes its output
	guard   *guard   // ends it with us, however we end; nil: nobody does
}

// start runs the program as the head of its own process group, so that the
// terminal's SIGINT reaches us alone and we stop the servers in order.
func (p program) start() (*process, error) {
	log, err := os.OpenFile(p.log, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return nil, fmt.Errorf("starting %s: %w", p.name, err)
	}
	defer log.Close() // the process has its own copy
	cmd := exec.Command(p.command[0], p.command[1:]...)
	cmd.Env = append(os.Environ(), p.env...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", p.name, err)
	}
	p.guard.watch(cmd.Process.Pid)
	started := &process{p.name, cmd, make(chan struct{})}
	go func() {
		defer close(started.done)
		_ = cmd.Wait() // how it ended is in its log
	}()
	return started, nil
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// ended tells whether the process is no more. None at all, as a second node has
// no mailbox store, has not ended.
func (p *process) ended() bool {
	if p == nil {
		return false
	}
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// stop asks the process to end, and kills it and its group if it does not.
func (p *process) stop() error {
	if p == nil {
		return nil
	}
	if !p.ended() {
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
	}
	var err error
	select {
	case <-p.done:
	case <-time.After(stopTimeout):
		err = fmt.Errorf("%s (pid %d) did not end within %v: killed", p.name, p.pid(), stopTimeout)
	}
	return errors.Join(err, p.kill())
}

// kill ends the process and all of its group with SIGKILL, and waits.
func (p *process) kill() error {
	err := syscall.Kill(-p.pid(), syscall.SIGKILL)
	<-p.done
	if err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("killing %s (pid %d): %w", p.name, p.pid(), err)
	}
	return nil
}

// run runs a command to its end; its output is in the error if it fails.
func run(env []string, command ...string) ([]byte, error) {
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return out, fmt.Errorf("%q: %w\n%s", command, err, out)
	}
	return out, nil
}

// hopeless is an error for which it makes no sense to wait on.
type hopeless struct{ error }

// waitFor asks every 20 ms until ready says nil, or a time is over.
func waitFor(what string, limit time.Duration, ready func() error) error {
	end := time.Now().Add(limit)
	for {
		err := ready()
		if err == nil {
			return nil
		}
		if errors.As(err, new(hopeless)) {
			return fmt.Errorf("%s: %w", what, err)
		}
		if time.Now().After(end) {
			return fmt.Errorf("%s: not within %v: %w", what, limit, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
