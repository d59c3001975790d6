package main

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// placeholders are what the documents have in place of values.
var placeholders = strings.NewReplacer("DAY", "2026-11-01", "'decree …'", "decree", "…", "")

var (
	span  = regexp.MustCompile("`pec-milter ([^`\n|]+)")
	block = regexp.MustCompile("(?s)```\n(.*?)```")
	line  = regexp.MustCompile(`(?m)^pec-milter ([^\n|]+)`)
)

// inBlocks are the lines of the blocks of commands.
func inBlocks(text string) (lines [][]string) {
	for _, m := range block.FindAllStringSubmatch(text, -1) {
		lines = append(lines, line.FindAllStringSubmatch(m[1], -1)...)
	}
	return lines
}

// documentedCommands gives the commands of pec-milter in the documents, as arguments, with
// the document that has each.
func documentedCommands(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	for file, text := range texts(t, "../../README*.md", "../../docs/*.md", "../../contrib/*/README.md") {
		for _, m := range slices.Concat(span.FindAllStringSubmatch(text, -1), inBlocks(text)) {
			found[strings.TrimSpace(m[1])] = file
		}
	}
	if len(found) < 30 {
		t.Fatalf("%d commands found in the documents, want all: %v", len(found), found)
	}
	return found
}

// TestDocumentedCommands: each command that a document has can be given as it stands there,
// and some script, story or test runs it.
func TestDocumentedCommands(t *testing.T) {
	run := everythingRun(t)
	for command, file := range documentedCommands(t) {
		var c commands
		parser, err := kong.New(&c, kong.Exit(func(int) {}), kong.Writers(os.Stderr, os.Stderr), kong.Bind(out{os.Stderr}))
		if err != nil {
			t.Fatal(err)
		}
		arguments := strings.Fields(placeholders.Replace(command))
		parsed, err := kong.Trace(parser, arguments)
		if err == nil {
			err = parsed.Error
		}
		if err != nil || parsed.Selected() == nil {
			t.Errorf("%s: pec-milter %s: %v", file, command, err)
			continue
		}
		// Where it is clear, a document leaves the configuration out.
		_, err = parser.Parse(arguments)
		if err != nil && strings.Contains(command, " --") && err.Error() != "missing flags: --config=FILE" {
			t.Errorf("%s: pec-milter %s: %v", file, command, err)
		}
		name := strings.Fields(parsed.Command())
		name = name[:len(name)-strings.Count(parsed.Command(), "<")]
		if !regexp.MustCompile(`(pec-milter( \w+)?|")[ "]*` + strings.Join(name, `[ ",]+`) + `\b`).MatchString(run) {
			t.Errorf("%s: no script, story or test runs pec-milter %s", file, strings.Join(name, " "))
		}
	}
}

// everythingRun is the text of what runs commands of pec-milter.
func everythingRun(t *testing.T) string {
	t.Helper()
	return strings.Join(slices.Collect(maps.Values(texts(t, "testdata/*.txtar", "*_test.go",
		"../../internal/integration/testdata/*.txtar", "../../internal/integration/*.go", "../../internal/integration/*/*.go"))), "\n")
}

// texts are the files of some patterns, each of which has some.
func texts(t *testing.T, patterns ...string) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, pattern := range patterns {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %v, no files", pattern, err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			all[file] = string(text)
		}
	}
	return all
}
