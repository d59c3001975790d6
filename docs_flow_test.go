package pecmilter_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// doorOfFile is the door of a step that is named without one.
var doorOfFile = map[string]string{"access.go": "access", "incoming.go": "incoming", "delivery.go": "delivery"}

// step is a mention of steps in a comment: "Step 3", "Access steps 7 and 8",
// "Steps 3 to 7".
var step = regexp.MustCompile(`(?i)\b(?:(access|incoming|delivery) )?steps? (\d+)(?: (and|to) (\d+))?`)

// TestFlowSteps: docs/flow.md counts each door's steps from 1, and the comments
// of the code know the same numbers, in the same order.
func TestFlowSteps(t *testing.T) {
	inCode := map[string]map[int]bool{"access": {}, "incoming": {}, "delivery": {}}
	files, err := filepath.Glob("internal/point/*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if !strings.HasSuffix(file, "_test.go") {
			stepsOfFile(t, file, inCode)
		}
	}
	inText := stepsOfFlow(t)
	for door, steps := range inCode {
		want := slices.Sorted(maps.Keys(steps))
		if got := inText[door]; len(want) == 0 || !slices.Equal(got, want) {
			t.Errorf("%s door: docs/flow.md has steps %v, the comments have %v", door, got, want)
		}
		if want[len(want)-1] != len(want) {
			t.Errorf("%s door: the comments have steps %v, want all from 1 on", door, want)
		}
	}
}

func stepsOfFlow(t *testing.T) map[string][]int {
	t.Helper()
	steps := map[string][]int{}
	door := ""
	for line := range strings.Lines(prose(t, "docs/flow.md")) {
		if heading, found := strings.CutPrefix(line, "## "); found {
			door, _, _ = strings.Cut(strings.ToLower(heading), " door")
		}
		if number, _, found := strings.Cut(line, ". "); found && doorOfFile[door+".go"] != "" {
			if n, err := strconv.Atoi(number); err == nil {
				steps[door] = append(steps[door], n)
			}
		}
	}
	return steps
}

// stepsOfFile collects the steps that the comments of a file name. A comment on
// a line of its own begins a step: in one function they come in their order.
func stepsOfFile(t *testing.T, file string, steps map[string]map[int]bool) {
	t.Helper()
	files := token.NewFileSet()
	tree, err := parser.ParseFile(files, file, nil, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(read(t, file), "\n")
	last, inside := 0, (*ast.FuncDecl)(nil)
	for _, comment := range tree.Comments {
		numbers := stepsOfComment(t, file, comment, steps)
		place := files.Position(comment.Pos())
		function := enclosing(tree, comment.Pos())
		if len(numbers) == 0 || function == nil || !strings.HasPrefix(strings.TrimSpace(lines[place.Line-1]), "//") {
			continue
		}
		if function == inside && numbers[0] <= last {
			t.Errorf("%s: step %d begins after step %d", place, numbers[0], last)
		}
		last, inside = numbers[len(numbers)-1], function
	}
}

// stepsOfComment gives the numbers that the comment begins with; one that it
// sends the reader to later counts for the door alone.
func stepsOfComment(t *testing.T, file string, comment *ast.CommentGroup, steps map[string]map[int]bool) (first []int) {
	t.Helper()
	text := strings.Join(strings.Fields(comment.Text()), " ")
	for _, m := range step.FindAllStringSubmatch(text, -1) {
		door := strings.ToLower(m[1])
		if door == "" {
			door = doorOfFile[filepath.Base(file)]
		}
		if steps[door] == nil {
			t.Errorf("%s: %q does not say of which door", file, m[0])
			continue
		}
		numbers := expand(m[2], m[3], m[4])
		for _, n := range numbers {
			steps[door][n] = true
		}
		if first == nil {
			first = numbers
		}
	}
	return first
}

// expand gives the numbers of "3", "3 and 5" or "3 to 7".
func expand(first, word, second string) []int {
	from, _ := strconv.Atoi(first) // digits: step saw to it
	to, err := strconv.Atoi(second)
	switch {
	case err != nil:
		return []int{from}
	case word == "and":
		return []int{from, to}
	}
	var all []int
	for n := from; n <= to; n++ {
		all = append(all, n)
	}
	return all
}

func enclosing(tree *ast.File, at token.Pos) *ast.FuncDecl {
	for _, d := range tree.Decls {
		if f, ok := d.(*ast.FuncDecl); ok && f.Body != nil && f.Body.Pos() < at && at < f.Body.End() {
			return f
		}
	}
	return nil
}
