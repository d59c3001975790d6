package pecmilter_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
)

var caseID = regexp.MustCompile(`^(FM|FH|IN|LP|RS)-\d\d$`)

// TestCases: docs/tests.md has each case once, with tests that exist and carry
// its id, or says that there is none yet and which issue will write it.
func TestCases(t *testing.T) {
	seen := map[string]bool{}
	for n, line := range strings.Split(read(t, "docs/tests.md"), "\n") {
		cells := cellsOf(line)
		if len(cells) == 0 || cells[0] == "Id" {
			continue
		}
		where := fmt.Sprintf("docs/tests.md:%d", n+1)
		if len(cells) != 3 || !caseID.MatchString(cells[0]) || seen[cells[0]] {
			t.Fatalf("%s: got %q, want a new id, the case and its tests", where, cells)
		}
		seen[cells[0]] = true
		tests, missing := checkTests(t, where, cells[2]), strings.Contains(cells[2], "not yet")
		if tests == 0 && !missing || missing && !issue.MatchString(cells[2]) {
			t.Errorf("%s: want tests, or not yet with the issue that will write them", where)
		}
		if tests > 0 && !carried(t, cells[0], cells[2]) {
			t.Errorf("%s: none of the files names %s", where, cells[0])
		}
	}
	if len(seen) < 70 {
		t.Errorf("got %d cases, want all", len(seen))
	}
}

// carried tells whether one of the files that a cell names has the id.
func carried(t *testing.T, id, cell string) bool {
	t.Helper()
	for _, m := range codeSpan.FindAllStringSubmatch(cell, -1) {
		if strings.Contains(m[1], "/") && strings.Contains(read(t, m[1]), id) {
			return true
		}
	}
	return false
}
