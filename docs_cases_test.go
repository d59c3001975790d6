package pecmilter_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var caseID = regexp.MustCompile(`^(FM|FH|IN|SG|XM|LP|RS|SM|OP)-\d\d$`)

// TestCases: docs/tests.md has each case once, with tests that exist and carry
// its id, or says that there is none yet and which issue will write it.
func TestCases(t *testing.T) {
	seen := map[string]bool{}
	cases, _, _ := strings.Cut(read(t, "docs/tests.md"), "\n## Stories and MTAs\n")
	for n, line := range strings.Split(cases, "\n") {
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
		for _, test := range strangers(t, cells[0], cells[2]) {
			t.Errorf("%s: %s does not name %s", where, test, cells[0])
		}
	}
	if len(seen) < 70 {
		t.Errorf("got %d cases, want all", len(seen))
	}
}

// strangers are the tests of a cell that do not carry the id: neither the test
// with its comment and subtests, nor the story.
func strangers(t *testing.T, id, cell string) (names []string) {
	t.Helper()
	file := ""
	for _, m := range codeSpan.FindAllStringSubmatch(cell, -1) {
		switch {
		case strings.HasSuffix(m[1], "_test.go"):
			file = m[1]
		case testName.MatchString(m[1]):
			if !strings.Contains(written(t, file, m[1]), id) {
				names = append(names, file+": "+m[1])
			}
		case !strings.Contains(read(t, m[1]), id):
			names = append(names, m[1])
		}
	}
	return names
}

// written is a test as it is written, with its comment.
func written(t *testing.T, file, name string) string {
	t.Helper()
	set := token.NewFileSet()
	tree, err := parser.ParseFile(set, file, nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range tree.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok || f.Recv != nil || f.Name.Name != name {
			continue
		}
		from := f.Pos()
		if f.Doc != nil {
			from = f.Doc.Pos()
		}
		return read(t, file)[set.Position(from).Offset:set.Position(f.End()).Offset]
	}
	return ""
}

// skipped is where a story says that it is not played on an MTA, and why.
var skipped = regexp.MustCompile(`(?m)^\[(postfix|sendmail)\] skip '((?:[^']|'')*)'$`)

// TestStoriesAndMTAs: docs/tests.md has each story, with what it is played on, or why it is
// not: as the story itself says.
func TestStoriesAndMTAs(t *testing.T) {
	stories, err := filepath.Glob("internal/integration/testdata/*.txtar")
	if err != nil || len(stories) < 40 {
		t.Fatalf("found %d stories (%v), want all", len(stories), err)
	}
	want := map[string][]string{}
	for _, story := range stories {
		played := map[string]string{"postfix": "yes", "sendmail": "yes"}
		for _, m := range skipped.FindAllStringSubmatch(read(t, story), -1) {
			played[m[1]] = "no: " + strings.ReplaceAll(m[2], "''", "'")
		}
		name := "`" + strings.TrimSuffix(filepath.Base(story), ".txtar") + "`"
		want[name] = []string{name, played["postfix"], played["sendmail"]}
	}
	_, table, _ := strings.Cut(read(t, "docs/tests.md"), "\n## Stories and MTAs\n")
	for _, line := range strings.Split(table, "\n") {
		cells := cellsOf(line)
		if len(cells) == 0 || cells[0] == "Story" {
			continue
		}
		if !slices.Equal(cells, want[cells[0]]) {
			t.Errorf("docs/tests.md says %q, the story %q", cells, want[cells[0]])
		}
		delete(want, cells[0])
	}
	for name := range want {
		t.Errorf("docs/tests.md does not have the story %s", name)
	}
}
