package integration

import (
	"fmt"
	"os"
	"slices"
	"strconv"
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
	old, err := children(s.mta.pid())
	if err != nil {
		return err
	}
	if err := s.mta.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		return err
	}
	for end := time.Now().Add(reloadTime); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		now, err := children(s.mta.pid())
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(old, func(pid int) bool { return slices.Contains(now, pid) }) {
			return nil
		}
	}
	return nil
}

// children are the processes that a process has started.
func children(parent int) (pids []int, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", parent))
	for _, field := range strings.Fields(string(text)) {
		pid, _ := strconv.Atoi(field) // the kernel writes numbers
		pids = append(pids, pid)
	}
	return pids, err
}
