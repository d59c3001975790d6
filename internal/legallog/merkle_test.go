package legallog

import (
	"fmt"
	"testing"
)

// The tree is what a shell makes of the lines, level by level.
func TestTree(t *testing.T) {
	for n := range 40 {
		var tree Tree
		var level []Hash
		for i := range n {
			line := fmt.Appendf(nil, "line %d\n", i)
			tree.Add(line)
			level = append(level, Leaf(line))
		}
		for len(level) > 1 {
			var above []Hash
			for i := 0; i+1 < len(level); i += 2 {
				above = append(above, Inner(level[i], level[i+1]))
			}
			if len(level)%2 == 1 {
				above = append(above, level[len(level)-1])
			}
			level = above
		}
		want := Hash{}
		if n > 0 {
			want = level[0]
		}
		if got := tree.Root(); got != want {
			t.Errorf("root of %d lines = %v, want %v", n, got, want)
		}
	}
}
