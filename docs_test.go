package pecmilter_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The documents say which file, test, step and key to look at. These tests keep
// that true: a document that names what is not there is worse than none.

// documents are all Markdown files of the repository.
func documents(t *testing.T) []string {
	t.Helper()
	var found []string
	err := filepath.WalkDir(".", func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && (file == "build" || strings.HasPrefix(file, ".") && file != ".") {
			return fs.SkipDir
		}
		if filepath.Ext(file) == ".md" {
			found = append(found, file)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(found) < 8 {
		t.Fatalf("found %d documents, want the whole tree: %v", len(found), found)
	}
	return found
}

func read(t *testing.T, file string) string {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// fenced are the blocks of code and pictures, which name files of machines.
var fenced = regexp.MustCompile("(?ms)^```.*?^```$")

func prose(t *testing.T, file string) string {
	t.Helper()
	return fenced.ReplaceAllString(read(t, file), "")
}

var (
	link     = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	codeSpan = regexp.MustCompile("`([^`\n]+)`")
	// pathLike is a relative path with a slash in it, with or without wildcards.
	pathLike = regexp.MustCompile(`^[\w.*-]+(/[\w.*-]+)+/?$`)
	// noPath are media types, which look like paths, and what make writes.
	noPath = regexp.MustCompile(`^(text|multipart|application|message|build)/`)
)

func TestDocumentsNameFilesThatExist(t *testing.T) {
	checked := 0
	for _, document := range documents(t) {
		text := prose(t, document)
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			target, _, _ := strings.Cut(m[1], "#")
			if target == "" || strings.Contains(target, ":") {
				continue // a place in the same document, or another host
			}
			checked++
			if !exists(path.Join(path.Dir(document), target)) {
				t.Errorf("%s links to %s, which does not exist", document, m[1])
			}
		}
		for _, m := range codeSpan.FindAllStringSubmatch(text, -1) {
			name := strings.TrimPrefix(m[1], module)
			if !pathLike.MatchString(name) || noPath.MatchString(name) {
				continue
			}
			checked++
			if !exists(name) && !exists(path.Join(path.Dir(document), name)) {
				t.Errorf("%s names `%s`, which does not exist", document, m[1])
			}
		}
	}
	if checked < 50 {
		t.Errorf("checked %d names of files, want many more", checked)
	}
}

func exists(name string) bool {
	found, err := filepath.Glob(name)
	return err == nil && len(found) > 0
}

// Every row of docs/conformity.md has these columns.
const (
	columnRequirement = iota
	columnStatus
	columnCode
	columnTest
	columns
)

var (
	status   = regexp.MustCompile(`^(done|partly|not yet|operator)\b`)
	issue    = regexp.MustCompile(`#\d+`)
	testName = regexp.MustCompile(`^(Test|Fuzz|Example)\w+$`)
)

func TestConformity(t *testing.T) {
	rows := 0
	for n, line := range strings.Split(read(t, "docs/conformity.md"), "\n") {
		cells := cellsOf(line)
		if len(cells) == 0 || cells[columnRequirement] == "Requirement" {
			continue
		}
		rows++
		where := fmt.Sprintf("docs/conformity.md:%d", n+1)
		if len(cells) != columns {
			t.Errorf("%s: got %d columns, want %d", where, len(cells), columns)
			continue
		}
		checkRow(t, where, cells)
	}
	if rows < 60 {
		t.Errorf("got %d rows, want all requirements", rows)
	}
}

// TestThreats: what is said to keep an attacker out is tested.
func TestThreats(t *testing.T) {
	rows := 0
	for n, line := range strings.Split(read(t, "docs/security.md"), "\n") {
		cells := cellsOf(line)
		if len(cells) != 4 || cells[3] == "test" || strings.HasPrefix(cells[3], "---") {
			continue
		}
		rows++
		where := fmt.Sprintf("docs/security.md:%d", n+1)
		if checkTests(t, where, cells[3]) == 0 {
			t.Errorf("%s: no test", where)
		}
	}
	if rows < 15 {
		t.Errorf("got %d threats, want all", rows)
	}
}

// cellsOf gives the cells of a line of a table; none for any other line.
func cellsOf(line string) []string {
	inner, found := strings.CutPrefix(line, "| ")
	if !found {
		return nil
	}
	cells := strings.Split(strings.TrimSuffix(inner, "|"), "|")
	for n := range cells {
		cells[n] = strings.TrimSpace(cells[n])
	}
	return cells
}

// checkRow: what is done names its code and its test, what is not names the
// issue that will do it.
func checkRow(t *testing.T, where string, cells []string) {
	t.Helper()
	tests := checkTests(t, where, cells[columnTest])
	switch status.FindString(cells[columnStatus]) {
	case "":
		t.Errorf("%s: status %q is none of done, partly, not yet, operator", where, cells[columnStatus])
	case "done":
		if tests == 0 || !codeSpan.MatchString(cells[columnCode]) {
			t.Errorf("%s: done without code or test", where)
		}
	case "partly", "not yet":
		if !issue.MatchString(cells[columnStatus]) {
			t.Errorf("%s: %s without the issue that will do it", where, cells[columnStatus])
		}
	}
}

// checkTests looks for the tests of a cell, each in the file before it, and
// gives their number. A story is a file.
func checkTests(t *testing.T, where, cell string) (count int) {
	t.Helper()
	var declared map[string]bool
	for _, m := range codeSpan.FindAllStringSubmatch(cell, -1) {
		switch {
		case strings.HasSuffix(m[1], "_test.go"):
			declared = testsOf(t, where, m[1])
		case testName.MatchString(m[1]):
			count++
			if !declared[m[1]] {
				t.Errorf("%s: no test %s in the file it names", where, m[1])
			}
		default:
			count++
			if !exists(m[1]) {
				t.Errorf("%s: `%s` is neither a test nor a story", where, m[1])
			}
		}
	}
	return count
}

func testsOf(t *testing.T, where, file string) map[string]bool {
	t.Helper()
	tree, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Errorf("%s: %v", where, err)
		return nil
	}
	declared := map[string]bool{}
	for _, d := range tree.Decls {
		if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil {
			declared[f.Name.Name] = true
		}
	}
	return declared
}

// TestLogLines: the lines of the log that docs/operations.md explains are those
// of the code, and all of its errors and warnings are explained.
func TestLogLines(t *testing.T) {
	explained := map[string]bool{}
	_, table, _ := strings.Cut(read(t, "docs/operations.md"), "\n## Log lines that need action\n")
	table, _, _ = strings.Cut(table, "\n## ")
	for line := range strings.Lines(table) {
		if cells := cellsOf(line); len(cells) > 0 && cells[0] != "line" {
			explained[strings.Trim(cells[0], "`")] = true
		}
	}
	logged := logLines(t)
	if len(logged) < 10 {
		t.Errorf("found %d errors and warnings in the code, want all: %v", len(logged), logged)
	}
	for text, place := range logged {
		if !explained[text] {
			t.Errorf("docs/operations.md does not explain %q (%s)", text, place)
		}
	}
	for text := range explained {
		if logged[text] == "" {
			t.Errorf("docs/operations.md explains %q, which no code logs", text)
		}
	}
}

var logLine = regexp.MustCompile(`\.(?:Error|Warn)(?:Context)?\((?:ctx, )?"([^"]+)"`)

// logLines are the texts of all errors and warnings that the daemon logs, with
// the file that does.
func logLines(t *testing.T) map[string]string {
	t.Helper()
	texts := map[string]string{}
	for _, pattern := range []string{"cmd/pec-milter/*.go", "internal/*/*.go", "milter/*.go", "lmtpdeliver/*.go", "hsm/*.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: no files (%v)", pattern, err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") || strings.HasPrefix(file, "internal/integration/") {
				continue
			}
			for _, m := range logLine.FindAllStringSubmatch(read(t, file), -1) {
				texts[m[1]] = file
			}
		}
	}
	return texts
}

const configPage = "docs/man/pec-milter.toml.5.md"

// TestConfigurationPage: the man page and contrib/pec-milter.toml have the same
// keys, and the same defaults.
func TestConfigurationPage(t *testing.T) {
	example := exampleKeys(t)
	page := pageKeys(t)
	if len(example) < 25 {
		t.Errorf("contrib/pec-milter.toml has %d keys, want all", len(example))
	}
	for key, value := range example {
		described, found := page[key]
		switch {
		case !found:
			t.Errorf("%s has no %s, contrib/pec-milter.toml has", configPage, key)
		case value != "" && !strings.Contains(described, "Default: `"+value+"`."):
			t.Errorf("%s: %s: want the text \"Default: `%s`.\"", configPage, key, value)
		case value == "" && strings.Contains(described, "Default:"):
			t.Errorf("%s: %s has a default, contrib/pec-milter.toml shows none", configPage, key)
		}
	}
	for key := range page {
		if _, found := example[key]; !found {
			t.Errorf("contrib/pec-milter.toml has no %s, %s has", key, configPage)
		}
	}
}

var exampleLine = regexp.MustCompile(`^(#?)( *)([a-z0-9_]+) = (\S+|"[^"]*")`)

// exampleKeys are the keys of the example by section and name, with their
// default: "#key = value" shows one, "#   key = value" an alternative.
func exampleKeys(t *testing.T) map[string]string {
	t.Helper()
	keys := map[string]string{}
	section := ""
	for line := range strings.Lines(read(t, "contrib/pec-milter.toml")) {
		if name, found := strings.CutPrefix(line, "["); found {
			section = strings.TrimSuffix(strings.TrimSpace(name), "]") + "."
		}
		if m := exampleLine.FindStringSubmatch(line); m != nil {
			keys[section+m[3]] = ""
			if m[1] == "#" && m[2] == "" {
				keys[section+m[3]] = m[4]
			}
		}
	}
	return keys
}

var (
	pageSection = regexp.MustCompile(`^## \[(\w+)\]`)
	pageKey     = regexp.MustCompile(`^\*\*(\w+)\*\*\n$`)
)

// pageKeys are the keys of the man page with what it says of them.
func pageKeys(t *testing.T) map[string]string {
	t.Helper()
	keys := map[string]string{}
	section, key := "", ""
	for line := range strings.Lines(read(t, configPage)) {
		if m := pageSection.FindStringSubmatch(line); m != nil {
			section = m[1] + "."
		}
		if strings.HasPrefix(line, "#") {
			key = ""
		}
		if m := pageKey.FindStringSubmatch(line); m != nil {
			key = section + m[1]
		}
		if key != "" {
			keys[key] += line
		}
	}
	return keys
}

// TestItalianTwin: README.it.md has the headings of README.md, one for one.
func TestItalianTwin(t *testing.T) {
	english, italian := headings(t, "README.md"), headings(t, "README.it.md")
	if len(english) < 5 || !slices.Equal(english, italian) {
		t.Errorf("levels of the headings: README.md has %v, README.it.md has %v", english, italian)
	}
	example := fencedGo(t, "README.md")
	if example != fencedGo(t, "README.it.md") {
		t.Errorf("README.md and README.it.md have different examples")
	}
	if squeezed := squeeze(read(t, "pec/example_test.go")); !strings.Contains(squeezed, squeeze(example)) {
		t.Errorf("the example of README.md is not in pec/example_test.go, where it is compiled and run")
	}
}

func headings(t *testing.T, file string) (levels []int) {
	t.Helper()
	for line := range strings.Lines(prose(t, file)) {
		if marks, _, found := strings.Cut(line, " "); found && marks != "" && strings.Trim(marks, "#") == "" {
			levels = append(levels, len(marks))
		}
	}
	return levels
}

// fencedGo is the Go code of a document.
func fencedGo(t *testing.T, file string) string {
	t.Helper()
	_, code, found := strings.Cut(read(t, file), "\n```go\n")
	if !found {
		t.Fatalf("%s has no example in Go", file)
	}
	code, _, _ = strings.Cut(code, "\n```")
	return code
}

// squeeze leaves out the white space that does not count.
func squeeze(code string) string { return strings.Join(strings.Fields(code), " ") }
