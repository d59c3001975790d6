package integration

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// haste makes a private Postfix try again every second, where contrib/postfix
// says a minute: a story that restarts pec-milter must not wait for it.
var haste = []string{"queue_run_delay=1s", "minimal_backoff_time=1s", "maximal_backoff_time=2s"}

// postfix is the private Postfix of a site.
type postfix struct{ *Site }

// start configures it, by contrib/postfix if the site is a provider's, and starts
// it.
func (s postfix) start() (*process, error) {
	if err := s.configurePostfix(); err != nil {
		return nil, err
	}
	if _, err := run(nil, "postfix", "-c", s.postfixDir(), "check"); err != nil {
		return nil, err
	}
	// master itself, not "postfix start": its pid is that of our child.
	return program{
		name:    "Postfix of " + s.Name,
		command: []string{"/usr/lib/postfix/sbin/master", "-c", s.postfixDir(), "-s"},
		log:     filepath.Join(s.Dir, "postfix.out"),
		guard:   s.world.guard,
	}.start()
}

// stop: master ends its children with itself.
func (s postfix) stop() error { return s.mta.stop() }

func (s postfix) kill() error { return s.mta.kill() }

// addUser: Dovecot, which knows the users, is asked for their passwords.
func (postfix) addUser(string) error { return nil }

func (s *Site) postfixDir() string { return filepath.Join(s.Dir, "postfix") }

func (s *Site) configurePostfix() error {
	dir := s.postfixDir()
	for _, name := range []string{"main.cf", "master.cf"} {
		if err := writeConf(filepath.Join(dir, name), name, s.conf()); err != nil {
			return err
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "routes"), []byte(s.routes()), 0o644); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "tls-policy"), []byte(s.tlsPolicy()), 0o644); err != nil {
		return err
	}
	if err := s.lookOld(); err != nil {
		return err
	}
	if !s.ordinary {
		if _, err := run(s.contribEnvironment(), filepath.Join(s.world.options.Contrib, "postfix", "pec-milter-postfix.sh"),
			"-c", dir, "apply", s.Domain); err != nil {
			return err
		}
	}
	if _, err := run(nil, append([]string{"postconf", "-c", dir, "-e"}, haste...)...); err != nil {
		return err
	}
	if s.variant().TCP {
		if err := s.submitOverTCP(); err != nil {
			return err
		}
	}
	return s.lookOld()
}

// SetPostfix changes a setting ("name=value") of the running Postfix.
func (s *Site) SetPostfix(setting string) error { return s.editPostfix("-e", setting) }

// ResetPostfix takes a setting out of main.cf: its default holds again.
func (s *Site) ResetPostfix(name string) error { return s.editPostfix("-X", name) }

// PostfixSetting is a setting ("name = value") as main.cf has it; empty where its
// default holds.
func (s *Site) PostfixSetting(name string) (string, error) {
	out, err := run(nil, "postconf", "-c", s.postfixDir(), "-n", name)
	return strings.TrimSpace(string(out)), err
}

func (s *Site) editPostfix(arguments ...string) error {
	return errors.Join(s.Configure(arguments...), s.Reload())
}

// contribEnvironment are the settings of contrib/postfix for this site.
func (s *Site) contribEnvironment() []string {
	return []string{
		"PEC_INCOMING=" + address(s.Ports.SMTP),
		"PEC_SUBMISSION=" + address(s.Ports.Submission),
		"PEC_SUBMISSIONS=" + address(s.Ports.Submissions),
		"PEC_INJECT=" + address(s.Ports.Inject),
		"PEC_TLS_POLICY=texthash:" + filepath.Join(s.postfixDir(), "tls-policy"),
	}
}

// lookOld makes the configuration look a day old: Postfix waits for a second or
// more before it reads a file that was just written.
func (s *Site) lookOld() error {
	old := time.Now().AddDate(0, 0, -1)
	for _, name := range []string{"main.cf", "master.cf", "routes", "tls-policy"} {
		if err := os.Chtimes(filepath.Join(s.postfixDir(), name), old, old); err != nil {
			return err
		}
	}
	return nil
}

// routes is the transport table toward the other sites.
func (s *Site) routes() string {
	var lines strings.Builder
	for _, other := range s.world.sites() {
		if other.Domain != s.Domain && other.first == nil {
			fmt.Fprintf(&lines, "%s smtp:%s\n", other.Domain, strings.Join(s.world.hops(other.Domain), ", "))
		}
	}
	if refusing := s.refusing(); refusing != nil {
		for _, domain := range []string{RefusedDomain, NowhereDomain} {
			fmt.Fprintf(&lines, "%s smtp:[127.0.0.1]:%d\n", domain, refusing.Ports.SMTP)
		}
	}
	return lines.String()
}

// tlsPolicy makes TLS toward the other providers mandatory and verified. Its key
// is the next hop of the route.
func (s *Site) tlsPolicy() string {
	lines := "# the other PEC providers\n"
	for _, other := range s.world.Providers {
		if other.Domain != s.Domain {
			lines += fmt.Sprintf("[127.0.0.1]:%d secure match=%s\n", other.Ports.SMTP, other.Host)
		}
	}
	return lines
}

// waitForServer waits until a server takes connections.
func (s *Site) waitForServer(p *process, log, network, address string) error {
	return waitFor(p.name, 30*time.Second, func() error {
		if p.ended() {
			return hopeless{fmt.Errorf("it ended:\n%s", tail(log))}
		}
		conn, err := net.Dial(network, address)
		if err == nil {
			err = conn.Close()
		}
		return err
	})
}

// tail is the end of a log, for a person.
func tail(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[max(0, len(lines)-15):], "\n")
}

// flush: a message that was being delivered at the last flush waits in the incoming
// queue, with a time that has not come: postqueue -f passes it over, a scan of all does
// not.
func (s postfix) flush() error {
	if _, err := run(nil, "postqueue", "-c", s.postfixDir(), "-f"); err != nil {
		return err
	}
	// qmgr may hang up on postkick, which dies of it; the next flush comes soon.
	_, _ = run(nil, "postkick", "-c", s.postfixDir(), "public", "qmgr", "AI")
	return nil
}

func (s postfix) queue() (string, error) {
	out, err := run(nil, "postqueue", "-c", s.postfixDir(), "-j")
	return string(out), err
}

// waiting: a message is complete when its file may be executed. One that still comes
// in, or whose cleanup was killed, has not been taken.
func (s postfix) waiting() (names []string, err error) {
	// In the order of a message's way: one that moves on during the look is seen
	// where it comes to.
	for _, queue := range []string{"maildrop", "deferred", "incoming", "active", "deferred"} {
		err = errors.Join(err, filepath.WalkDir(filepath.Join(s.Dir, "queue", queue), func(path string, entry fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err == nil && complete(entry) {
				names = append(names, entry.Name())
			}
			return err
		}))
	}
	slices.Sort(names)
	return slices.Compact(names), err
}

// complete tells whether a file of the queue is a whole message.
func complete(entry fs.DirEntry) bool {
	info, err := entry.Info()
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o100 != 0
}

// local is sendmail(1) of Postfix.
func (s postfix) local() []string { return []string{"/usr/sbin/sendmail", "-C", s.postfixDir()} }
