package pec_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/pec-milter/pec-milter/pec"
)

var (
	reasonLine = regexp.MustCompile(`^([a-z0-9.-]+)\t[ABC]\t(\S.*)\n$`)
	reasonUse  = regexp.MustCompile(`\b(?:Reason\(|problem\(|addressReasons\(|failed\(Step\w+, )"([a-z-]+)"`)
	failure    = regexp.MustCompile(`^5\.\d\.\d+$`)
)

// reasonTexts are the lines of texts/motivi.tsv: each has name, confidence and text.
func reasonTexts(t *testing.T) map[string]string {
	t.Helper()
	file, err := os.ReadFile("texts/motivi.tsv")
	if err != nil {
		t.Fatal(err)
	}
	texts := map[string]string{}
	for line := range strings.Lines(string(file)) {
		if strings.HasPrefix(line, "# ") {
			continue
		}
		m := reasonLine.FindStringSubmatch(line)
		if m == nil || texts[m[1]] != "" {
			t.Fatalf("line %q: want a new name, confidence and text", line)
		}
		texts[m[1]] = m[2]
	}
	return texts
}

// TestReasons: the code calls each reason of the file, and no other.
func TestReasons(t *testing.T) {
	texts := reasonTexts(t)
	used := map[string]bool{}
	for _, pattern := range []string{"*.go", "../internal/point/*.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: no files (%v)", pattern, err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			code, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range reasonUse.FindAllStringSubmatch(string(code), -1) {
				used[m[1]] = true
				if texts[m[1]] == "" {
					t.Errorf("%s calls the reason %q, which has no text", file, m[1])
				}
			}
		}
	}
	for name := range texts {
		if !used[name] && !failure.MatchString(name) {
			t.Errorf("nobody calls the reason %q", name)
		}
	}
	if len(used) < 30 {
		t.Errorf("%d reasons are called, want all", len(used))
	}
}

// TestFailureDetail: AgID's Nota 12: code, provider, text.
func TestFailureDetail(t *testing.T) {
	codes := 0
	for code, text := range reasonTexts(t) {
		if !failure.MatchString(code) {
			continue
		}
		codes++
		if got, want := pec.FailureDetail(code, "Alfa S.p.A."), code+" - Alfa S.p.A. - "+text; got != want {
			t.Errorf("FailureDetail(%q) = %q, want %q", code, got, want)
		}
	}
	if codes < 7 {
		t.Errorf("%d codes, want at least 7", codes)
	}
	if got, want := pec.FailureDetail("5.7.1", "Alfa"), "5.7.1 - Alfa - errore nella consegna alla casella"; got != want {
		t.Errorf("a code without a line: got %q, want %q", got, want)
	}
}
