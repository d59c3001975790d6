package integration

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"
)

// reloadTime is how long Reload waits for the processes with the old settings. Those
// that serve somebody stay until they are done, and may be many minutes at it.
const reloadTime = 3 * time.Second

// Reload has Postfix read its configuration again, and waits until the processes
// that have read the old one are gone: an idle one would serve the next connection.
func (s *Site) Reload() error {
	if err := s.lookOld(); err != nil {
		return err
	}
	old, err := s.postfixProcesses()
	if err != nil {
		return err
	}
	if err := s.postfix.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		return err
	}
	for end := time.Now().Add(reloadTime); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		now, err := s.postfixProcesses()
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(old, func(pid string) bool { return slices.Contains(now, pid) }) {
			return nil
		}
	}
	return nil
}

// postfixProcesses are the pids of what Postfix's master has started.
func (s *Site) postfixProcesses() ([]string, error) {
	master := s.postfix.pid()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", master, master))
	return strings.Fields(string(text)), err
}
