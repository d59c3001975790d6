//go:build integration

package integration

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pec-milter/pec-milter/internal/doctor"
)

// brokenMTA is a case of testdata/mta.
type brokenMTA struct {
	name  string
	edits [][2]string // where, what
	at    string      // the place, if no mark in an edit shows it
	says  string
}

// readBrokenMTAs reads testdata/mta/NAME, whose head says how it is written.
func readBrokenMTAs(t *testing.T, name string) (cases []brokenMTA) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "mta", name))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		where, what, found := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		switch {
		case !found || line[0] == '#':
		case where == "case":
			cases = append(cases, brokenMTA{name: what})
		case where == "at":
			cases[len(cases)-1].at = what
		case where == "says":
			cases[len(cases)-1].says = what
		default:
			c := &cases[len(cases)-1]
			c.edits = append(c.edits, [2]string{where, what})
		}
	}
	return cases
}

// TestCheckConfigNamesThePlace: each of the broken configurations is found, with the
// place where it is broken and the line to paste.
func TestCheckConfigNamesThePlace(t *testing.T) {
	dir := applyPostfix(t)
	good := map[string][]byte{}
	for _, name := range []string{"main.cf", "master.cf"} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		good[name] = text
	}
	cases := readBrokenMTAs(t, "postfix.txt")
	if len(cases) < 40 {
		t.Fatalf("%d broken configurations, want 40 at least", len(cases))
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			for name, text := range good {
				writeFile(t, filepath.Join(dir, name), text)
			}
			place := breakPostfix(t, dir, c)
			check, what, _ := strings.Cut(c.says, ": ")
			found := examinePostfix(t, dir, "alfa.example")[check]
			if found.Result != doctor.Bad || !strings.HasPrefix(found.What, what) {
				t.Fatalf("check-config says %+v, want bad: %s", found, c.says)
			}
			if found.Where != place {
				t.Errorf("check-config says it is at %s, want %s", found.Where, place)
			}
			if found.Repair == "" {
				t.Error("no line to paste")
			}
		})
	}
}

// breakPostfix makes the edits, and gives the place that must be named.
func breakPostfix(t *testing.T, dir string, c brokenMTA) (place string) {
	t.Helper()
	if c.at != "" {
		place = filepath.Join(dir, c.at)
	}
	for _, edit := range c.edits {
		where, what := edit[0], edit[1]
		lookOldIn(t, dir)
		switch where {
		case "postconf":
			postconf(t, dir, strings.Fields(what)...)
		case "main.cf", "master.cf":
			place = cmp.Or(addLine(t, filepath.Join(dir, where), "", what), place)
		default:
			place = cmp.Or(addLine(t, filepath.Join(dir, "master.cf"), where, "  "+what), place)
		}
	}
	return place
}

// addLine adds a line to the end of a file, or of a service of master.cf. It gives the
// place of the mark in it; empty: there is none.
func addLine(t *testing.T, file, service, line string) (place string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	at := len(lines)
	if service != "" {
		at = endOfService(t, lines, service)
	}
	if mark := strings.Index(line, "^"); mark >= 0 {
		place = fmt.Sprintf("%s:%d:%d", file, at+1, mark+1)
		line = line[:mark] + line[mark+1:]
	}
	lines = append(lines[:at:at], append([]string{line}, lines[at:]...)...)
	writeFile(t, file, []byte(strings.Join(lines, "\n")+"\n"))
	return place
}

// endOfService is the number of lines up to the end of a service of master.cf.
func endOfService(t *testing.T, lines []string, service string) int {
	t.Helper()
	for n, line := range lines {
		fields := strings.Fields(line)
		if len(fields) < 2 || fields[0]+"/"+fields[1] != service || strings.ContainsAny(line[:1], " \t#") {
			continue
		}
		for n++; n < len(lines) && strings.HasPrefix(lines[n], " "); n++ {
		}
		return n
	}
	t.Fatalf("master.cf has no service %s", service)
	return 0
}

func writeFile(t *testing.T, path string, text []byte) {
	t.Helper()
	if err := os.WriteFile(path, text, 0o644); err != nil {
		t.Fatal(err)
	}
}
