//go:build integration

package integration

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestStories runs testdata/*.txtar, one after the other, on one world of real
// servers with Postfix. Every story makes its own users and leaves all servers running.
func TestStories(t *testing.T) {
	t.Parallel() // with the other one
	play(t, &stage{})
}

// TestStoriesSendmail runs them on providers with Sendmail. A story that is of Postfix
// alone skips, and says why.
func TestStoriesSendmail(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat(sendmailProgram); err != nil {
		skip(t, fmt.Sprintf("%v: contrib/debian/setup.sh test puts it there", err))
	}
	needs(t, "unshare", "nsenter", "m4", "saslpasswd2")
	play(t, &stage{onSendmail: true})
}

// play plays all stories on a stage.
func play(t *testing.T, s *stage) {
	t.Helper()
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	s.repository, s.stopped, s.told, s.seen = repositoryDir(t), ctx, make(map[string]bool), make(map[string]int)
	s.start(t)
	testscript.RunT(sequential{t, s}, testscript.Params{
		Dir:                "testdata",
		Cmds:               s.commands(),
		Condition:          s.condition,
		RequireUniqueNames: true,
		Setup:              func(*testscript.Env) error { return s.mend() },
	})
}

// condition tells a story what it plays on: [postfix] or [sendmail].
func (s *stage) condition(name string) (bool, error) {
	switch name {
	case "postfix":
		return !s.onSendmail, nil
	case "sendmail":
		return s.onSendmail, nil
	}
	return false, fmt.Errorf("no condition %q", name)
}

// stage is what the stories play on.
type stage struct {
	repository string
	binary     string
	backend    func(*Provider) (Backend, error) // nil: SQLite files
	twoNodes   string                           // Options.TwoNodes
	onSendmail bool                             // Options.Sendmail
	world      *World
	stopped    context.Context
	slow       []*slowClient   // that a story has, still at work
	office     *office         // nil: no story has opened it
	changed    []func() error  // what undoes the changes of a story
	expected   []expected      // breaches of the daily log that the story names
	seen       map[string]int  // up to where the daemons' logs were looked at
	told       map[string]bool // breaches that an earlier story is to blame for
}

// start builds pec-milter and starts the world; both end with the test.
func (s *stage) start(t *testing.T) {
	t.Helper()
	needs(t, "postfix", "dovecot", "/usr/sbin/clamd", "softhsm2-util", "openssl", "xmllint")
	s.binary = filepath.Join(t.TempDir(), "pec-milter")
	build := exec.Command("go", "build", "-tags", "movableclock,faults", "-o", s.binary, "./cmd/pec-milter")
	build.Dir = s.repository
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building pec-milter: %v\n%s", err, out)
	}
	world, err := Start(s.stopped, Options{
		Binary: s.binary, Contrib: filepath.Join(s.repository, "contrib"), Proxies: true, Backend: s.backend, TwoNodes: s.twoNodes,
		Sendmail: s.onSendmail,
	})
	if err != nil {
		t.Fatal(err)
	}
	s.world = world
	t.Cleanup(func() {
		if t.Failed() {
			logs := filepath.Join(s.repository, "build", "stories")
			if s.onSendmail {
				logs += "-sendmail"
			}
			t.Logf("the logs of all servers are in %s (%v)", logs, world.SaveLogs(logs))
		}
		if err := world.Stop(); err != nil {
			t.Errorf("stopping the world: %v", err)
		}
	})
}

// mend starts again what a story that failed has left stopped.
func (s *stage) mend() error {
	errs := []error{context.Cause(s.stopped), s.restore()}
	for _, p := range s.world.Providers {
		p.MailboxProxy().BeforeReply(nil)
		p.InjectProxy().BeforeReply(nil)
		if p.dovecot.ended() {
			errs = append(errs, p.StartStore())
		}
		if p.clamd.ended() || p.ignoreEICAR {
			errs = append(errs, p.IgnoreEICAR(false))
		}
		if p.daemon.ended() {
			errs = append(errs, p.StartDaemon())
		}
	}
	return errors.Join(errs...)
}

// needs skips a test where it does not run as root, or a program is missing.
func needs(t *testing.T, programs ...string) {
	t.Helper()
	if os.Getuid() != 0 {
		skip(t, "only root can do this")
	}
	for _, program := range programs {
		if _, err := exec.LookPath(program); err != nil {
			skip(t, fmt.Sprintf("%v: contrib/debian/setup.sh test installs it", err))
		}
	}
}

// skip skips aloud; where CI is set, everything must be there.
func skip(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatal(why)
	}
	t.Skip(why)
}

// repositoryDir is where go.mod is.
func repositoryDir(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "go.mod")); err != nil {
		t.Fatal(err)
	}
	return dir
}

// sequential runs the stories one after the other: they share one world, and
// some kill its daemons.
type sequential struct {
	*testing.T
	stage *stage
}

func (s sequential) Run(name string, story func(testscript.T)) {
	s.T.Run(name, func(t *testing.T) {
		defer s.stage.audit(t)
		defer func() {
			if err := s.stage.restore(); err != nil {
				t.Error(err)
			}
		}()
		story(sequential{t, s.stage})
	})
}

func (sequential) Parallel() {}

// Verbose is what testscript asks for to log every line.
func (sequential) Verbose() bool { return testing.Verbose() }
