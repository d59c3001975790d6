package integration

import (
	"errors"
	"os"
	"path/filepath"
)

// startDovecot configures the site's Dovecot with contrib/dovecot and starts it.
func (s *Site) startDovecot() error {
	config := s.dovecotConf()
	if err := writeConf(config, "dovecot.conf", s.conf()); err != nil {
		return err
	}
	if err := errors.Join(s.copyStored(), s.compileSieve(config)); err != nil {
		return err
	}
	var err error
	s.dovecot, err = program{
		name:    "Dovecot of " + s.Name,
		command: []string{"dovecot", "-F", "-c", config},
		log:     filepath.Join(s.Dir, "dovecot.out"),
		guard:   s.world.guard,
	}.start()
	if err != nil {
		return err
	}
	return s.waitForServer(s.dovecot, filepath.Join(s.Dir, "dovecot.log"), "unix", s.mailboxSocket())
}

func (s *Site) dovecotConf() string { return filepath.Join(s.Dir, "dovecot.conf") }

// mailboxSocket is where Dovecot takes messages by LMTP.
func (s *Site) mailboxSocket() string {
	if s.first != nil {
		return s.first.mailboxSocket()
	}
	return filepath.Join(s.Dir, "dovecot", "lmtp")
}

// copyStored puts the program that the script runs where any user may run it.
func (s *Site) copyStored() error {
	program, err := os.ReadFile(filepath.Join(s.world.options.Contrib, "dovecot", "bin", "stored"))
	if err != nil {
		return err
	}
	if err := makeDirectories(s.Dir, "sieve-bin"); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(s.Dir, "sieve-bin", "stored"), program, 0o755)
}

// compileSieve compiles the global script: the users Dovecot runs it as may not.
func (s *Site) compileSieve(config string) error {
	script, err := os.ReadFile(filepath.Join(s.world.options.Contrib, "dovecot", "duplicate.sieve"))
	if err != nil {
		return err
	}
	path := filepath.Join(s.Dir, "duplicate.sieve")
	if err := os.WriteFile(path, script, 0o644); err != nil {
		return err
	}
	_, err = run(nil, "sievec", "-c", config, path)
	return err
}
