package legallog

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestPaths: from each leaf of trees of all small sizes the path leads to the root.
func TestPaths(t *testing.T) {
	for size := 1; size <= 40; size++ {
		var tree Tree
		var leaves []Hash
		var chosen []leaf
		for n := range size {
			line := fmt.Appendf(nil, "line %d\n", n)
			tree.Add(line)
			leaves, chosen = append(leaves, Leaf(line)), append(chosen, leaf{int64(n), n})
		}
		for n, path := range paths(leaves, chosen) {
			if got := follow(leaves[n], path); got != tree.Root() {
				t.Errorf("leaf %d of %d: its path leads to %v, want %v", n, size, got, tree.Root())
			}
		}
	}
}

func follow(from Hash, path []Step) Hash {
	for _, step := range path {
		if step.Left {
			from = Inner(step.Hash, from)
		} else {
			from = Inner(from, step.Hash)
		}
	}
	return from
}

func TestProve(t *testing.T) {
	log := openFile(t, filepath.Join(t.TempDir(), "log.db"))
	for n := range 7 {
		mustAppend(t, log, sampleEvent(fmt.Sprint(n)))
	}
	sealer := newSealer(t, log)
	sealer.MaxRows = 3 // 1-3, 4-6, 7
	if made, err := sealer.Seal(ctx, sealedAt); err != nil || made != 3 {
		t.Fatalf("%d seals, %v", made, err)
	}
	mustAppend(t, log, sampleEvent("later"))
	rows := readAll(t, log, Filter{})
	proofs, err := Prove([]string{sealer.Directory}, rows)
	if err != nil {
		t.Fatal(err)
	}
	for n, p := range proofs {
		if n == 7 {
			if p.Seal != nil {
				t.Errorf("row 8, which is not sealed, is in %s", p.Seal.Name)
			}
			continue
		}
		root := follow(Leaf(p.Line), p.Path)
		if p.Seal == nil || !strings.Contains(string(p.Seal.Manifest), `"root":"`+root.String()+`"`) || len(p.Seal.Signature) == 0 {
			t.Errorf("row %d: %+v: its path does not lead to the root of a signed manifest", p.Seq, p)
		}
	}
	rows[4].Subject = "another"
	if _, err := Prove([]string{sealer.Directory}, rows); err == nil || !strings.Contains(err.Error(), "row 5: the database and the file differ") {
		t.Errorf("a changed row: %v", err)
	}
	file, _ := filepath.Glob(sealer.Directory + "/*-1" + rowsEnding)
	if err := os.Truncate(file[0], 100); err != nil {
		t.Fatal(err)
	}
	if _, err := Prove([]string{sealer.Directory}, rows[:2]); err == nil {
		t.Error("a sealed file that was cut: no error")
	}
}
