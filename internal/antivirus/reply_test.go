package antivirus

import (
	"strings"
	"testing"
	"time"

	"github.com/pec-milter/pec-milter/internal/point"
)

func TestParseFinding(t *testing.T) {
	long := strings.Repeat("x", 1000)
	for _, c := range []struct {
		name, reply string
		want        point.Finding
	}{
		{"clean", "stream: OK\x00", point.Finding{}},
		{"virus", "stream: Win.Test.EICAR_HDB-1 FOUND\x00", point.Finding{Virus: "Win.Test.EICAR_HDB-1"}},
		{"blank in the name", "stream: a FOUND b FOUND\x00", point.Finding{Virus: "a FOUND b"}},
		{"control characters", "stream: a\r\nb\x1b[2J\x7f FOUND\x00", point.Finding{Virus: "a??b?[2J?"}},
		{"not ASCII, not even UTF-8", "stream: è\xff FOUND\x00", point.Finding{Virus: "??"}},
		{"long name", "stream: " + long + " FOUND\x00", point.Finding{Virus: long[:maxName]}},
		{"virus called OK", "stream: OK FOUND\x00", point.Finding{Virus: "OK"}},
		{"size", "stream: Heuristics.Limits.Exceeded.MaxFileSize FOUND\x00", point.Finding{Limits: true}},
		{"our own limit", "stream: Heuristics.Limits.Exceeded.Zip64.UNOFFICIAL FOUND\x00", point.Finding{Limits: true}},
		{"encrypted", "stream: Heuristics.Encrypted.PDF FOUND\x00", point.Finding{Encrypted: true}},
		{"other heuristic", "stream: Heuristics.Broken.Executable FOUND\x00", point.Finding{Virus: "Heuristics.Broken.Executable"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got, err := parseFinding(c.reply); err != nil || got != c.want {
				t.Errorf("parseFinding(%q) = %+v, %v, want %+v", c.reply, got, err, c.want)
			}
		})
	}
}

func TestParseFindingRefuses(t *testing.T) {
	for _, reply := range []string{
		"", "\x00", "stream: OK", "stream: OK\n", "stream: OK\n\x00", "stream: OK \x00", " stream: OK\x00", "stream:OK\x00",
		"STREAM: OK\x00", "OK\x00", "stream: ok\x00", "stream: \x00", "stream: FOUND\x00", "stream:  FOUND\x00",
		"stream: Eicar FOUND", "Eicar FOUND\x00", "stream: Eicar FOUND \x00", "stream: Eicar\x00",
		"stream: OK\x00\x00", "stream: OK\x00stream: Eicar FOUND\x00", "stream: Eicar FOUND\x00stream: OK\x00",
		"stream: Eicar ERROR\x00", "stream: Can't allocate memory ERROR\x00", "stream: Heuristics.Limits.Exceeded ERROR\x00",
		"INSTREAM size limit exceeded. ERROR\x00", "UNKNOWN COMMAND\x00", "COMMAND READ TIMED OUT\x00",
	} {
		if got, err := parseFinding(reply); err == nil || got != (point.Finding{}) {
			t.Errorf("parseFinding(%q) = %+v, %v, want an error alone", reply, got, err)
		}
	}
}

func TestParseVersion(t *testing.T) {
	made := time.Date(2025, 1, 17, 9, 31, 7, 0, time.UTC)
	for _, c := range []struct {
		reply, engine, base string
		date                time.Time
		ok                  bool
	}{
		{"ClamAV 1.4.6/27500/Fri Jan 17 09:31:07 2025\x00", "1.4.6", "27500", made, true},
		{"ClamAV 1.4.6\x00", "1.4.6", "", time.Time{}, true},
		{"ClamAV 1.5.0-beta\x1b/1/Fri Jan 17 09:31:07 2025\x00", "1.5.0-beta?", "1", made, true},
		{"ClamAV 1.4.6", "", "", time.Time{}, false},
		{"ClamAV \x00", "", "", time.Time{}, false},
		{"ClamAV 1.4.6/27500\x00", "", "", time.Time{}, false},
		{"ClamAV 1.4.6/27500/yesterday\x00", "", "", time.Time{}, false},
		{"COMMAND UNAVAILABLE\x00", "", "", time.Time{}, false},
		{"", "", "", time.Time{}, false},
	} {
		engine, base, date, err := parseVersion(c.reply)
		if engine != c.engine || base != c.base || !date.Equal(c.date) || (err == nil) != c.ok {
			t.Errorf("parseVersion(%q) = %q, %q, %v, %v; want %q, %q, %v, ok %v", c.reply, engine, base, date, err, c.engine, c.base, c.date, c.ok)
		}
	}
}

// FuzzReply: clean is said in one way only, nothing comes with an error, and
// what is passed on is safe to print.
func FuzzReply(f *testing.F) {
	for _, seed := range []string{
		"", "stream: OK\x00", "stream: OK", "stream: Eicar FOUND\x00", "stream: \r\n\xff FOUND\x00", "stream: OK\x00\x00",
		"stream: Heuristics.Limits.Exceeded.MaxFiles FOUND\x00", "stream: Heuristics.Encrypted.Zip FOUND\x00",
		"INSTREAM size limit exceeded. ERROR\x00", "stream: x ERROR\x00", "ClamAV 1.4.6/27500/Fri Jan 17 09:31:07 2025\x00",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, reply string) {
		got, err := parseFinding(reply)
		switch {
		case err != nil && got != (point.Finding{}):
			t.Errorf("parseFinding(%q) = %+v together with %v", reply, got, err)
		case err == nil && got == (point.Finding{}) && reply != "stream: OK\x00":
			t.Errorf("parseFinding(%q) = clean", reply)
		case err == nil && got != (point.Finding{}) && !strings.HasSuffix(reply, " FOUND\x00"):
			t.Errorf("parseFinding(%q) = %+v, want an error", reply, got)
		case got.Virus != "" && (got.Limits || got.Encrypted) || got.Limits && got.Encrypted:
			t.Errorf("parseFinding(%q) = %+v, want one of the three", reply, got)
		}
		engine, base, _, versionErr := parseVersion(reply)
		if versionErr != nil && engine+base != "" {
			t.Errorf("parseVersion(%q) = %q, %q together with %v", reply, engine, base, versionErr)
		}
		for _, shown := range []string{got.Virus, engine, base} {
			if strings.ContainsFunc(shown, func(r rune) bool { return r < ' ' || r > '~' }) || len(got.Virus) > maxName {
				t.Errorf("%q gave %q, want short printable ASCII", reply, shown)
			}
		}
	})
}
