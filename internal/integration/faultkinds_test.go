//go:build integration

package integration

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/pec-milter/pec-milter/internal/legallog"
)

// fires is how long a fault that was ordered may take to happen under load.
const fires = 2 * time.Minute

// kills has a provider's daemon die at points, one after the other, and starts it
// again.
func kills(provider string, points ...string) func(*trial) error { return at(provider, "kill", points) }

// fails has effects fail at points.
func fails(provider string, points ...string) func(*trial) error { return at(provider, "err", points) }

// hangs has effects hang at points.
func hangs(provider string, points ...string) func(*trial) error { return at(provider, "hang", points) }

func at(provider, act string, points []string) func(*trial) error {
	return func(t *trial) error {
		for n := range t.times {
			// Some way into the work that is under way: a restart begins with what was
			// interrupted. The empty lines make each order a new one.
			order := fmt.Sprintf("%s:%d:%s%s", points[n%len(points)], 1+t.random.IntN(4), act, strings.Repeat("\n", n))
			if err := t.order(t.world.Provider(provider), order, act == "kill"); err != nil {
				return err
			}
		}
		return nil
	}
}

// order orders one fault and waits until it has happened. A daemon that it kills
// is started again.
func (t *trial) order(p *Provider, order string, deadly bool) error {
	log, err := logEnd(p.LogFile())
	if err != nil {
		return err
	}
	if err := p.OrderFault(order); err != nil {
		return err
	}
	err = waitFor("fault "+strings.TrimSpace(order), fires, func() error {
		time.Sleep(100 * time.Millisecond)
		if n, err := log.count(`msg="fault injected"`); n > 0 || err != nil {
			return err
		}
		return errors.New("it has not happened")
	})
	if err != nil {
		return err
	}
	t.injected()
	if !deadly {
		return nil
	}
	<-p.daemon.done
	if err := p.OrderFault(""); err != nil {
		return err
	}
	err = errors.Join(p.KillDaemon(), t.startDaemon(p))
	t.flush() // Postfix leaves alone for a while who has not answered, and no fault would come
	return err
}

// since is a log from where it ended once.
type since struct {
	path   string
	offset int64
}

func logEnd(path string) (since, error) {
	info, err := os.Stat(path)
	if err != nil {
		return since{}, err
	}
	return since{path, info.Size()}, nil
}

// count counts the lines that have come and have all the words.
func (s since) count(words ...string) (n int, err error) {
	file, err := os.Open(s.path)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	text, err := io.ReadAll(io.NewSectionReader(file, s.offset, 1<<30))
	for line := range bytes.Lines(text) {
		if !slices.ContainsFunc(words, func(w string) bool { return !bytes.Contains(line, []byte(w)) }) {
			n++
		}
	}
	return n, err
}

// felt is a fault that must be seen in a server's log: otherwise nobody has felt
// it, and it does not count.
func felt(log func(*trial) string, word string, do func(*trial) error) func(*trial) error {
	return func(t *trial) error {
		end, err := logEnd(log(t))
		if err != nil {
			return err
		}
		if err := do(t); err != nil {
			return err
		}
		if n, err := end.count(word); n > 0 || err != nil {
			return err
		}
		return errNotFelt
	}
}

var errNotFelt = errors.New("nobody has felt the fault")

func alfaLog(t *trial) string  { return t.alfa.LogFile() }
func betaLog(t *trial) string  { return t.beta.LogFile() }
func alfaMail(t *trial) string { return filepath.Join(t.alfa.Dir, "mail.log") }

// every does something until it was felt t.times times, with a pause before each.
func every(pause time.Duration, do func(*trial) error) func(*trial) error {
	return func(t *trial) error {
		for wanted, tries := t.count+t.times, 0; t.count < wanted && tries < 3*t.times; tries++ {
			time.Sleep(pause/2 + time.Duration(t.random.Int64N(int64(pause))))
			err := do(t)
			if errors.Is(err, errNotFelt) {
				continue
			}
			if err != nil {
				return err
			}
			t.injected()
		}
		return nil
	}
}

// then does one after the other.
func then(all ...func(*trial) error) func(*trial) error {
	return func(t *trial) error {
		for _, do := range all {
			if err := do(t); err != nil {
				return err
			}
		}
		return nil
	}
}

// killDaemon kills a provider's daemon wherever it is.
func killDaemon(provider string) func(*trial) error {
	return func(t *trial) error {
		p := t.world.Provider(provider)
		return errors.Join(p.KillDaemon(), t.startDaemon(p))
	}
}

// killAnyDaemon kills that of alfa or of beta.
func killAnyDaemon(t *trial) error {
	return killDaemon([]string{"alfa", "beta"}[t.random.IntN(2)])(t)
}

// killMTA kills a process of Postfix with one of these names: SIGKILL, under work.
func killMTA(provider string, names ...string) func(*trial) error {
	return func(t *trial) error {
		p := t.world.Provider(provider)
		return waitFor(fmt.Sprintf("a process %v of %s", names, p.mta.name), fires, func() error {
			pids, err := named(p.mta.pid(), names)
			if err != nil {
				return err
			}
			if len(pids) == 0 {
				return errors.New("there is none")
			}
			return syscall.Kill(pids[t.random.IntN(len(pids))], syscall.SIGKILL)
		})
	}
}

// named are the processes of a parent that have one of these names.
func named(parent int, names []string) ([]int, error) {
	pids, err := children(parent)
	return slices.DeleteFunc(pids, func(pid int) bool {
		name, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid)) // it may have ended meanwhile
		return !slices.Contains(names, strings.TrimSpace(string(name)))
	}), err
}

// freeze stops a server for some time with SIGSTOP: it hangs, and goes on.
func freeze(which func(*trial) *process, length time.Duration) func(*trial) error {
	return func(t *trial) error {
		server := which(t)
		if err := server.signalAll(syscall.SIGSTOP); err != nil {
			return err
		}
		time.Sleep(length)
		return server.signalAll(syscall.SIGCONT)
	}
}

// restart kills a server, leaves it down for some time and starts it again.
func restart(which func(*trial) *process, start func(*trial) error, length time.Duration) func(*trial) error {
	return func(t *trial) error {
		if err := which(t).kill(); err != nil {
			return err
		}
		time.Sleep(length)
		return start(t)
	}
}

// The files of conf/pec-milter.toml: the legal log with the records, and the state.
const (
	logFile   = "state/pec.db"
	stateFile = logFile + "-state"
)

// lock holds the write lock of a SQLite file of a provider for longer than the
// daemon waits for it: nothing can be recorded.
func lock(provider, file string, length time.Duration) func(*trial) error {
	return func(t *trial) error {
		path := t.world.Provider(provider).daemonFile(file)
		if _, err := os.Stat(path); err != nil {
			return err // SQLite would make a new one
		}
		db, err := sql.Open("sqlite", legallog.SQLiteDSN(path))
		if err != nil {
			return err
		}
		defer db.Close()
		tx, err := db.BeginTx(context.Background(), nil)
		if err != nil {
			return err
		}
		time.Sleep(length)
		return tx.Rollback()
	}
}

// loseState kills a provider's daemon and deletes its state.
func loseState(provider string) func(*trial) error {
	return func(t *trial) error {
		p := t.world.Provider(provider)
		if err := p.KillDaemon(); err != nil {
			return err
		}
		files, err := filepath.Glob(p.daemonFile(stateFile + "*"))
		if err != nil || len(files) == 0 {
			return fmt.Errorf("no state to lose: %w", err)
		}
		for _, file := range files {
			err = errors.Join(err, os.Remove(file))
		}
		return errors.Join(err, t.startDaemon(p))
	}
}

// hide takes a file of the trust away for some time.
func hide(file string, length time.Duration) func(*trial) error {
	return func(t *trial) error {
		path := filepath.Join(t.world.trustDir(), file)
		if err := os.Rename(path, path+".away"); err != nil {
			return err
		}
		time.Sleep(length)
		return os.Rename(path+".away", path)
	}
}

// withSetting has a Postfix run with another setting for some time.
func withSetting(provider, value string, length time.Duration) func(*trial) error {
	return func(t *trial) error {
		p := t.world.Provider(provider)
		if err := p.SetPostfix(value); err != nil {
			return err
		}
		time.Sleep(length)
		name, _, _ := strings.Cut(value, "=")
		return p.ResetPostfix(name)
	}
}

// readOnly takes the right to write from a mailbox for some time: the store fails
// for it, with a temporary error, and for no other.
func readOnly(local func(*trial) (*Site, string), length time.Duration) func(*trial) error {
	return func(t *trial) error {
		site, user := local(t)
		dir := filepath.Join(site.home(user), "Maildir", "tmp")
		if err := giveTo("root", dir); err != nil {
			return errors.Join(errNotFelt, err) // nothing has been stored so far
		}
		time.Sleep(length)
		return giveTo("mail", dir)
	}
}

// step moves the clocks by an hour, ahead and back in turn.
func step(t *trial) error {
	by := time.Hour
	if t.count%2 == 1 {
		by = -time.Hour
	}
	return t.pass(by)
}
