package legallog

import "crypto/sha256"

// Tree is the Merkle tree over the lines of a sealed file, made so that it can be
// made again with sha256sum:
//
//	leaf = SHA-256("leaf " line LF)
//	node = SHA-256("node " left " " right LF), both in hexadecimal digits
//
// Neighbours are paired, level by level; the last one of a level that has no
// neighbour goes up as it is.
type Tree struct {
	// subtrees are complete, each smaller than the one before: of the lines so far,
	// those that the bits of their number stand for.
	subtrees []subtree
}

type subtree struct {
	lines int64
	root  Hash
}

// Leaf is the leaf of a line, which has its line feed.
func Leaf(line []byte) Hash { return sha256.Sum256(append([]byte("leaf "), line...)) }

// Inner is the node over two others.
func Inner(left, right Hash) Hash {
	return sha256.Sum256([]byte("node " + left.String() + " " + right.String() + "\n"))
}

// Add adds the next line, which has its line feed.
func (t *Tree) Add(line []byte) {
	t.subtrees = append(t.subtrees, subtree{1, Leaf(line)})
	for n := len(t.subtrees); n > 1 && t.subtrees[n-1].lines == t.subtrees[n-2].lines; n-- {
		left, right := t.subtrees[n-2], t.subtrees[n-1]
		t.subtrees = append(t.subtrees[:n-2], subtree{left.lines + right.lines, Inner(left.root, right.root)})
	}
}

// Root is the root over the lines so far; zero without any.
func (t *Tree) Root() Hash {
	var root Hash
	for n := len(t.subtrees) - 1; n >= 0; n-- {
		if n == len(t.subtrees)-1 {
			root = t.subtrees[n].root
		} else {
			root = Inner(t.subtrees[n].root, root)
		}
	}
	return root
}
