package integration

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// left is what a World with Options.Outlive leaves behind.
type left struct {
	Dir  string `json:"dir"`
	Pids []int  `json:"pids"` // in the order in which they are to be stopped
}

// Leave writes into a file what StopLeft needs to stop the servers later, from
// another process.
func (w *World) Leave(file string) error {
	l := left{Dir: w.Dir}
	for _, p := range w.Providers {
		l.Pids = append(l.Pids, p.mta.pid(), p.daemon.pid(), p.dovecot.pid(), p.clamd.pid())
	}
	l.Pids = append(l.Pids, w.Ordinary.mta.pid(), w.Ordinary.dovecot.pid())
	text, err := json.Marshal(l)
	if err != nil {
		return err
	}
	return os.WriteFile(file, text, 0o600)
}

// StopLeft stops what Leave wrote into a file, and removes its files and this
// one. The error is fs.ErrNotExist if there is no such file.
func StopLeft(file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var l left
	err = json.Unmarshal(text, &l)
	if ours := strings.HasPrefix(l.Dir, "/tmp/pec") || strings.HasPrefix(l.Dir, "/run/pec"); err != nil || !ours {
		return fmt.Errorf("%s is not what was left running: %w", file, err)
	}
	var errs []error
	for _, pid := range l.Pids {
		errs = append(errs, l.stop(pid))
	}
	return errors.Join(append(errs, os.RemoveAll(l.Dir), os.Remove(file))...)
}

// stop ends one process, if it still is the one that was left: its command line
// names the directory, or it works in it, as Sendmail does.
func (l left) stop(pid int) error {
	if !l.owns(pid) {
		return nil
	}
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		return fmt.Errorf("stopping process %d: %w", pid, err)
	}
	return waitFor(fmt.Sprintf("end of process %d", pid), stopTimeout+5*time.Second, func() error {
		if l.owns(pid) {
			return errors.New("it goes on")
		}
		return nil
	})
}

func (l left) owns(pid int) bool {
	at, _ := os.Readlink(filepath.Join("/proc", fmt.Sprint(pid), "cwd")) // empty when it has ended
	command, err := os.ReadFile(filepath.Join("/proc", fmt.Sprint(pid), "cmdline"))
	return err == nil && strings.Contains(string(command)+at, l.Dir)
}
