package main

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/pec-milter/pec-milter/internal/antivirus"
	"github.com/pec-milter/pec-milter/internal/config"
	"github.com/pec-milter/pec-milter/pec"
)

// openWith opens the services of the scripts' configuration, changed.
func openWith(t *testing.T, changes ...string) *services {
	t.Helper()
	dir := t.TempDir()
	text := strings.NewReplacer(changes...).Replace(configuration)
	path := filepath.Join(dir, "changed.toml")
	if err := errors.Join(
		writeProvider(&testscript.Env{WorkDir: dir}),
		os.Mkdir(filepath.Join(dir, "quarantine"), 0o700),
		os.WriteFile(path, []byte(text), 0o600),
	); err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	s, err := openExamined(c, time.Now, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// withClamd is the configuration with an antivirus.
var withClamd = []string{
	`"none"`, `"clamd"`, "[signer]\n", `[clamd]
socket = "unix:clamd.sock"
timeout = "7s"
[quarantine]
directory = "quarantine"
[signer]
`}

// TestOpenSHA1Until: SG-24, the day of the configuration comes with all that a
// signature is judged by.
func TestOpenSHA1Until(t *testing.T) {
	for day, want := range map[string]string{"": "0001-01-01", "2027-07-01": "2027-07-01"} {
		s := openWith(t, "[incoming]\n", "[incoming]\nsha1_until = \""+day+"\"\n")
		trust, err := s.provider.Trust.Current()
		if err != nil {
			t.Fatal(err)
		}
		if got := trust.SHA1Until.Format(time.DateOnly); got != want || trust.Directory == nil || trust.Roots == nil {
			t.Errorf("sha1_until = %q: until %s, want %s; trust %+v", day, got, want, trust)
		}
	}
}

func TestOpenLimits(t *testing.T) {
	s := openWith(t, "[access]\n", "[access]\nmax_total = 30000001\nmax_recipients = 51\n")
	if want := (pec.Limits{Total: 30000001, Recipients: 51}); s.provider.Limits != want {
		t.Errorf("limits = %+v, want %+v", s.provider.Limits, want)
	}
}

func TestOpenAntivirus(t *testing.T) {
	s := openWith(t, withClamd...)
	scanner, ok := s.provider.Scanner.(*antivirus.Clamd)
	if !ok || filepath.Base(scanner.Address) != "clamd.sock" || scanner.Network != "unix" || scanner.Timeout != 7*time.Second {
		t.Errorf("scanner = %+v, want clamd at unix:clamd.sock, with 7s", s.provider.Scanner)
	}
	if s.provider.Quarantine == nil || s.provider.Quarantine != s.quarantine || s.timer().expire == nil {
		t.Errorf("quarantine = %v, which the timer clears: %v; want one", s.provider.Quarantine, s.timer().expire != nil)
	}
}

// A nil pointer in the interface would be an antivirus that does not work.
func TestOpenWithoutAntivirus(t *testing.T) {
	s := openWith(t)
	if s.provider.Scanner != nil || s.provider.Quarantine != nil || s.timer().expire != nil {
		t.Errorf("scanner = %v, quarantine = %v, the timer clears it: %v; want none",
			s.provider.Scanner, s.provider.Quarantine, s.timer().expire != nil)
	}
}
