package legallog

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// files are the sealed files of one node, with an ending.
func (x *scene) files(ending string) []string {
	files, err := filepath.Glob(filepath.Join(x.sealers[x.random.IntN(2)].Directory, "*"+ending))
	if err != nil || len(files) == 0 {
		x.t.Fatalf("no %s: %v", ending, err)
	}
	return files
}

// fileChanged replaces a file, verifies, and puts it back.
func (x *scene) fileChanged(path string, content []byte, want func(Report) bool) string {
	was, err := os.ReadFile(path)
	if err != nil {
		x.t.Fatal(err)
	}
	if bytes.Equal(was, content) {
		return ""
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		x.t.Fatal(err)
	}
	report := x.verify(nil)
	if err := os.WriteFile(path, was, 0o600); err != nil {
		x.t.Fatal(err)
	}
	if !want(report) {
		return fmt.Sprintf("%s was %q, now %q: found %v", path, was, content, report.Faults)
	}
	return ""
}

func anyFault(r Report) bool { return len(r.Faults) > 0 }

// firstBad tells whether one of some rows is named as the first bad one.
func firstBad(rows ...int64) func(Report) bool {
	return func(r Report) bool { return len(r.Faults) == 1 && slices.Contains(rows, r.Faults[0].Seq) }
}

// editFile changes, adds or takes away bytes of any file.
func (x *scene) editFile() string {
	endings := []string{rowsEnding, manifestEnding, signatureEnding, stampEnding}
	ending := endings[x.random.IntN(len(endings))]
	files := x.files(ending)
	path := files[x.random.IntN(len(files))]
	content, err := os.ReadFile(path)
	if err != nil {
		x.t.Fatal(err)
	}
	at := x.random.IntN(len(content))
	changed := slices.Clone(content)
	switch x.random.IntN(4) {
	case 0:
		changed = slices.Insert(changed, at, byte(x.random.IntN(256)))
	case 1:
		changed = slices.Delete(changed, at, at+1)
	case 2:
		changed = changed[:at]
	default:
		changed[at] ^= byte(1 << x.random.IntN(8))
	}
	if ending != rowsEnding {
		return x.fileChanged(path, changed, anyFault)
	}
	// The line that is no longer what it was; before the first byte that differs, all is.
	for at = 0; at < min(len(content), len(changed)) && content[at] == changed[at]; at++ {
	}
	lines := bytes.SplitAfter(content, []byte("\n"))
	return x.fileChanged(path, changed, firstBad(x.from(lines, bytes.Count(content[:at], []byte("\n")))...))
}

// from are the numbers of a line and, where one was put before it or behind the
// last, of the next row of its node.
func (x *scene) from(lines [][]byte, line int) []int64 {
	var last Row
	var found []int64
	for n, text := range lines {
		if len(text) == 0 {
			continue
		}
		if err := json.Unmarshal(text, &last); err != nil {
			x.t.Fatal(err)
		}
		if n >= line {
			found = append(found, last.Seq)
			break
		}
	}
	for _, r := range x.rows {
		if r.Node == last.Node && r.Seq > last.Seq {
			return append(found, r.Seq)
		}
	}
	return found
}

// editLines deletes, doubles or swaps lines of a sealed file, or has the lines of
// another one.
func (x *scene) editLines() string {
	files := x.files(rowsEnding)
	path := files[x.random.IntN(len(files))]
	content, err := os.ReadFile(path)
	if err != nil {
		x.t.Fatal(err)
	}
	lines := bytes.SplitAfter(content, []byte("\n"))
	lines = lines[:len(lines)-1]
	i, j := x.random.IntN(len(lines)), x.random.IntN(len(lines))
	changed := slices.Clone(lines)
	switch x.random.IntN(3) {
	case 0:
		changed = slices.Delete(changed, i, i+1)
		j = i
	case 1:
		changed = slices.Insert(changed, i, lines[j])
		if i == j {
			i++
		}
		j = i
	default:
		changed[i], changed[j] = changed[j], changed[i]
	}
	return x.fileChanged(path, bytes.Join(changed, nil), firstBad(x.from(lines, min(i, j))...))
}

// loseFile takes a whole file away, or puts one in the place of another.
func (x *scene) loseFile() string {
	endings := []string{rowsEnding, manifestEnding, signatureEnding}
	files := x.files(endings[x.random.IntN(len(endings))])
	path, other := files[x.random.IntN(len(files))], files[x.random.IntN(len(files))]
	if path != other {
		content, err := os.ReadFile(other)
		if err != nil {
			x.t.Fatal(err)
		}
		return x.fileChanged(path, content, anyFault)
	}
	hidden := path + ".hidden"
	if err := os.Rename(path, hidden); err != nil {
		x.t.Fatal(err)
	}
	report := x.verify(nil)
	if err := os.Rename(hidden, path); err != nil {
		x.t.Fatal(err)
	}
	if !anyFault(report) {
		return path + " is gone, and nothing was found"
	}
	return ""
}
