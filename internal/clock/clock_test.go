package clock

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"
)

// machine is a clock that a test sets.
type machine struct {
	Reading
	err error
}

// run lets time go by.
func (m *machine) run(d time.Duration) { m.Time, m.Boot = m.Time.Add(d), m.Boot+d }

// set sets the clock; the kernel then takes back that it is kept.
func (m *machine) set(by time.Duration) { m.Time, m.Kept = m.Time.Add(by), false }

func newWatch() (*Watch, *machine, *bytes.Buffer) {
	m := &machine{Reading: Reading{Time: time.Date(2026, 3, 14, 9, 0, 0, 0, time.UTC), Boot: time.Hour, Kept: true}}
	var log bytes.Buffer
	return NewWatch(func() (Reading, error) { return m.Reading, m.err }, slog.New(slog.NewTextHandler(&log, nil))), m, &log
}

// The clock is judged by what the kernel says, and by its jumps. (OP-13, FP-43)
func TestTrouble(t *testing.T) {
	kept := func(err time.Duration) func(*machine) {
		return func(m *machine) { m.Kept, m.Error = true, err }
	}
	set := func(by time.Duration) func(*machine) { return func(m *machine) { m.set(by) } }
	for _, tt := range []struct {
		name    string
		happens []func(*machine) // a look after each; the last one counts
		trouble bool
		log     string // a line of the last look; empty: none at all
	}{
		{"nothing", []func(*machine){kept(0)}, false, ""},
		{"half a second off", []func(*machine){kept(time.Second / 2)}, false, ""},
		{"more than a second off", []func(*machine){kept(1100 * time.Millisecond)}, false, "more than a second off"},
		{"more than a minute off", []func(*machine){kept(61 * time.Second)}, true, "not believed"},
		{"nobody keeps it", []func(*machine){func(m *machine) { m.Kept, m.Error = false, 16*time.Second }}, false, "no daemon keeps it"},
		{"set by half a minute", []func(*machine){set(30 * time.Second)}, false, "it was set"},
		{"set back by an hour", []func(*machine){set(-time.Hour)}, true, "not believed"},
		{"set ahead by a day", []func(*machine){set(24 * time.Hour)}, true, "not believed"},
		{"set by a minute in small steps", []func(*machine){set(25 * time.Second), set(25 * time.Second), set(25 * time.Second)}, true, "not believed"},
		{"set right again", []func(*machine){set(-time.Hour), set(time.Hour)}, false, "no daemon keeps it"},
		{"a daemon vouches for it", []func(*machine){set(-time.Hour), kept(0)}, false, "good again"},
		{"a daemon has set it", []func(*machine){func(m *machine) { m.set(time.Hour); m.Kept = true }}, false, "it was set"},
		{"still not believed", []func(*machine){set(-time.Hour), func(*machine) {}}, true, ""},
		{"not told", []func(*machine){func(m *machine) { m.err = errors.New("no such call") }}, false, "cannot be watched"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w, m, log := newWatch()
			if err := w.Trouble(); err != nil || log.Len() > 0 {
				t.Fatalf("at first Trouble() = %v, log %q, want neither", err, log)
			}
			var err error
			for _, happen := range tt.happens {
				m.run(20 * time.Second)
				happen(m)
				log.Reset()
				err = w.Trouble()
			}
			if (err != nil) != tt.trouble {
				t.Errorf("Trouble() = %v, want trouble: %v", err, tt.trouble)
			}
			if got := log.String(); (got == "") != (tt.log == "") || !strings.Contains(got, tt.log) {
				t.Errorf("log is %q, want %q", got, tt.log)
			}
		})
	}
}

// Read gives what this machine says: the clock runs as the time since boot does.
func TestRead(t *testing.T) {
	before, err := Read()
	if err != nil {
		t.Fatal(err)
	}
	if before.Time.Year() < 2026 || before.Boot <= 0 || before.Error < 0 {
		t.Errorf("Read() = %+v", before)
	}
	after, err := Read()
	if err != nil {
		t.Fatal(err)
	}
	if after.Boot <= before.Boot {
		t.Errorf("time since boot goes from %v to %v", before.Boot, after.Boot)
	}
	if jump := after.Time.Add(-after.Boot).Sub(before.Time.Add(-before.Boot)); jump.Abs() > time.Second {
		t.Errorf("the clock jumped by %v", jump)
	}
}

func TestNoWatch(t *testing.T) {
	if err := (*Watch)(nil).Trouble(); err != nil {
		t.Errorf("Trouble() = %v, want nil", err)
	}
}
