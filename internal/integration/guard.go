package integration

import (
	"fmt"
	"io"
	"os/exec"
	"syscall"
)

// guard is a process that ends what we started, and removes its files, should we
// end without doing so: by SIGKILL, or by a test's time limit. It waits for the
// end of the pipe between us. (The signal that the kernel sends at a parent's
// death does not do: a process that changes its user, as Postfix does, loses it.)
type guard struct {
	cmd  *exec.Cmd
	pipe io.WriteCloser
}

// guardScript reads the pids of what was started. A pid counts only as long as
// its command line names the directory, or it works in it: Sendmail's says what it is
// at.
const guardScript = `
dir=$1 pids=
while read -r pid; do pids="$pids $pid"; done
for signal in TERM KILL; do
	for pid in $pids; do
		if { cat "/proc/$pid/cmdline"; readlink "/proc/$pid/cwd"; } 2>/dev/null | grep -qF "$dir/"; then kill -s $signal -- "-$pid"; left=1; fi
	done
	if [ $signal = TERM ] && [ -n "$left" ]; then sleep 3; fi
done
rm -rf "$dir"
`

// startGuard starts a guard of a directory and of all that is started from it.
func startGuard(dir string) (*guard, error) {
	cmd := exec.Command("sh", "-c", guardScript, "guard", dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	pipe, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting the guard: %w", err)
	}
	return &guard{cmd, pipe}, nil
}

// watch adds a process, the head of its group.
func (g *guard) watch(pid int) {
	if g != nil {
		fmt.Fprintln(g.pipe, pid) // fails only if the guard was killed
	}
}

// stop ends the guard after all else was ended; it removes the directory.
func (g *guard) stop() error {
	if g == nil {
		return nil
	}
	_ = g.pipe.Close()
	return g.cmd.Wait()
}
