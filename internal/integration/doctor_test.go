//go:build integration

package integration

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/pec-milter/pec-milter/internal/doctor"
)

// doctor examines a provider without the proxies, and wants the checks named to
// be bad, and no others, and the exit code to say so. Of the clock it wants
// nothing: it is that of the machine which runs the stories. INJECT in a name is
// the address of the service without milter.
func (s *stage) doctor(out *bytes.Buffer, _ *testscript.TestScript, args []string) error {
	p, err := s.provider(args[0])
	if err != nil {
		return err
	}
	direct := p.daemonConf()
	direct.MailboxSocket, direct.InjectAddress = p.mailboxSocket(), address(p.Ports.Inject)
	if err := writeConf(p.daemonFile("direct.toml"), "pec-milter.toml", direct); err != nil {
		return err
	}
	command := []string{"doctor", "--json", "--config", p.daemonFile("direct.toml")}
	if server, is := p.server().(sendmail); is {
		command = append(command, "--sendmail", server.dir("sendmail.cf"))
	} else {
		command = append(command, "--postfix", p.postfixDir())
	}
	printed, failed := p.Command(command...)
	out.Write(printed)
	bad, clock, err := badChecks(printed)
	if err != nil {
		return err
	}
	want := slices.Clone(args[1:])
	for i := range want {
		want[i] = strings.ReplaceAll(want[i], "INJECT", address(p.Ports.Inject))
	}
	slices.Sort(want)
	if !slices.Equal(bad, want) {
		return fmt.Errorf("doctor found bad: %q, want %q:\n%s", bad, want, printed)
	}
	exit := "exit status 1"
	if len(bad) == 0 && clock != doctor.Bad {
		exit = "<nil>"
	}
	if got, _, _ := strings.Cut(fmt.Sprint(failed), "\n"); !strings.HasSuffix(got, exit) {
		return fmt.Errorf("doctor ended with %v, want %s", got, exit)
	}
	return nil
}

// badChecks are the names of what is bad, sorted, each once, but for the clock.
func badChecks(printed []byte) (bad []string, clock doctor.Result, err error) {
	decoder := json.NewDecoder(bytes.NewReader(printed))
	for decoder.More() {
		var f doctor.Finding
		if err := decoder.Decode(&f); err != nil {
			return nil, "", fmt.Errorf("%w in:\n%s", err, printed)
		}
		switch {
		case f.Check == "clock":
			clock = f.Result
		case f.Result == doctor.Bad && f.Repair == "":
			return nil, "", fmt.Errorf("%s is bad without a repair", f.Check)
		case f.Result == doctor.Bad:
			bad = append(bad, f.Check)
		}
	}
	if clock == "" {
		return nil, "", fmt.Errorf("nothing about the clock in:\n%s", printed)
	}
	slices.Sort(bad)
	return slices.Compact(bad), clock, nil
}

// trust makes what signatures are judged by out of date, until the end of the
// story: "expired" revocation lists, or an "old" directory.
func (s *stage) trust(_ *bytes.Buffer, _ *testscript.TestScript, args []string) error {
	now, dir := time.Now(), s.world.trustDir()
	ldif := filepath.Join(dir, "directory.ldif")
	switch args[0] {
	case "expired":
		s.changed = append(s.changed, func() error { return s.world.authorities.writeRevocations(dir, now.AddDate(0, 0, 7)) })
		return s.world.authorities.writeRevocations(dir, now.Add(-time.Minute))
	case "old":
		s.changed = append(s.changed, func() error { return os.Chtimes(ldif, now, now) })
		return os.Chtimes(ldif, now.AddDate(0, 0, -3), now.AddDate(0, 0, -3))
	}
	return fmt.Errorf("no act %q", args[0])
}

// mode changes that of a file of the daemon's, until the end of the story.
func (s *stage) mode(_ *bytes.Buffer, _ *testscript.TestScript, args []string) error {
	p, err := s.provider(args[0])
	if err != nil {
		return err
	}
	path := p.daemonFile(args[1])
	before, err := os.Stat(path)
	if err != nil {
		return err
	}
	var mode os.FileMode
	if _, err := fmt.Sscanf(args[2], "%o", &mode); err != nil {
		return err
	}
	s.changed = append(s.changed, func() error { return os.Chmod(path, before.Mode()) })
	return os.Chmod(path, mode)
}

// injectService changes a setting of the service without milter, until the end
// of the story.
func (s *stage) injectService(_ *bytes.Buffer, _ *testscript.TestScript, args []string) error {
	p, err := s.provider(args[0])
	if err != nil {
		return err
	}
	name, _, _ := strings.Cut(args[1], "=")
	setting := address(p.Ports.Inject) + "/inet/"
	before, err := run(nil, "postconf", "-c", p.postfixDir(), "-P", setting+name)
	if err != nil {
		return err
	}
	_, value, found := strings.Cut(strings.TrimRight(string(before), "\n "), " =")
	if !found {
		return errors.New("master.cf has no " + setting + name)
	}
	s.changed = append(s.changed, func() error { return p.editPostfix("-P", setting+name+"="+strings.TrimSpace(value)) })
	return p.editPostfix("-P", setting+args[1])
}
