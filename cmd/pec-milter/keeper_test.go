package main

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pec-milter/pec-milter/internal/directory"
)

// TestKeeper: FP-05, while the directory cannot be fetched the copy serves, with an
// alarm; above 48 hours with another. Our own record is looked for each time.
func TestKeeper(t *testing.T) {
	now := time.Date(2026, 3, 14, 9, 26, 53, 0, time.UTC)
	written := now
	var log bytes.Buffer
	var wrong error
	k := &keeper{
		syncer:  &directory.Syncer{Copy: filepath.Join(t.TempDir(), "copy"), From: directory.Server{URL: "ldap://127.0.0.1:1"}},
		written: func() time.Time { return written }, own: func() error { return wrong },
		clock: func() time.Time { return now }, logger: slog.New(slog.NewTextHandler(&log, nil)),
	}
	steps := []struct {
		name    string
		by      time.Duration
		wrong   error
		without bool // nothing is fetched
		good    bool
		want    []string // lines
	}{
		{"fails", 0, nil, false, false, []string{"not fetched"}},
		{"fails for 48 hours", 48 * time.Hour, nil, false, false, []string{"not fetched"}},
		{"fails for longer", time.Minute, nil, false, false, []string{"not fetched", "older than 48 hours"}},
		{"our record is gone", 0, errors.New("not ours"), false, false, []string{"not fetched", "older than 48 hours", "our own record"}},
		{"too old to be judged by", 0, directory.ErrTooOld, false, false, []string{"not fetched", "older than 48 hours"}},
		{"put there by somebody else", 0, nil, true, true, []string{"older than 48 hours"}},
	}
	for _, step := range steps {
		t.Run(step.name, func(t *testing.T) {
			log.Reset()
			now, wrong = now.Add(step.by), step.wrong
			if step.without {
				k.syncer = nil
			}
			if got := k.work(t.Context()); got != step.good {
				t.Errorf("work = %v, want %v", got, step.good)
			}
			lines := strings.Split(strings.TrimSpace(log.String()), "\n")
			if len(lines) != len(step.want) {
				t.Fatalf("logged %q, want %q", lines, step.want)
			}
			for i, line := range lines {
				if !strings.Contains(line, "level=ERROR") || !strings.Contains(line, step.want[i]) {
					t.Errorf("logged %q, want an error with %q", line, step.want[i])
				}
			}
		})
	}
}

// TestKeeperGoesOn: it fetches at once and again, and stops when it is told to.
func TestKeeperGoesOn(t *testing.T) {
	dir := t.TempDir()
	fetched := make(chan bool, 100)
	k := &keeper{
		written: time.Now, own: func() error { fetched <- true; return nil }, interval: time.Millisecond, clock: time.Now,
		logger: slog.New(slog.DiscardHandler), syncer: &directory.Syncer{Copy: filepath.Join(dir, "copy"), From: directory.Server{URL: filepath.Join(dir, "none")}},
	}
	stop := k.start(t.Context())
	for range 3 {
		<-fetched
	}
	stop()
}

func TestSpread(t *testing.T) {
	seen := map[time.Duration]bool{}
	for _, name := range []string{"a", "b", "c", "node1", "node2"} {
		got := spread(time.Hour, name)
		if got < time.Hour || got >= time.Hour+6*time.Minute || got != spread(time.Hour, name) {
			t.Errorf("spread(1h, %q) = %v, want the same each time, from 1h to 1h6m", name, got)
		}
		seen[got] = true
	}
	if len(seen) < 4 {
		t.Errorf("%d intervals for 5 names, want them spread", len(seen))
	}
}

// TestTooOldAtStart: with max_age, an old directory gives an error that passes, and
// does not keep the daemon from starting.
func TestTooOldAtStart(t *testing.T) {
	ldif := filepath.Join(t.TempDir(), "providers.ldif")
	s := openWith(t)
	records := s.directory.Providers()
	file, err := os.Create(ldif)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(directory.WriteLDIF(file, records), file.Close()); err != nil {
		t.Fatal(err)
	}
	s = openWith(t, `"providers.ldif"`, `"`+ldif+`"`+"\nmax_age = \"72h\"")
	old := time.Now().Add(-73 * time.Hour)
	if err := os.Chtimes(ldif, old, old); err != nil {
		t.Fatal(err)
	}
	if err := checkOwnCertificate(s.provider); !errors.Is(err, directory.ErrTooOld) {
		t.Errorf("checkOwnCertificate = %v, want ErrTooOld", err)
	}
}

func TestProgress(t *testing.T) {
	var out bytes.Buffer
	p := &progress{w: &out, unit: "kB"}
	p.show(0, 4)
	p.show(2, 4)
	p.show(2, 4) // nothing new
	p.show(4, 4)
	p.end()
	want := "\r[" + strings.Repeat(" ", 40) + "] 0 of 4 kB\r[" + strings.Repeat("=", 20) + strings.Repeat(" ", 20) + "] 2 of 4 kB\r[" +
		strings.Repeat("=", 40) + "] 4 of 4 kB\n"
	if out.String() != want {
		t.Errorf("drawn %q, want %q", out.String(), want)
	}
	out.Reset()
	p = &progress{w: &out, unit: "kB"}
	p.show(5, -1)
	p.end()
	if out.String() != "\r5 kB\n" {
		t.Errorf("drawn %q where the size is not known", out.String())
	}
	out.Reset()
	p = &progress{w: &out, unit: "rows"}
	p.show(5000, 10000)
	p.end()
	if !strings.HasSuffix(out.String(), "] 5000 of 10000 rows\n") {
		t.Errorf("drawn %q of rows", out.String())
	}
	file, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	p = newProgress(file, "rows")
	p.show(1, 2)
	p.end()
	if info, err := file.Stat(); err != nil || info.Size() != 0 {
		t.Errorf("drawn into a file: %v, %v", info, err)
	}
}
