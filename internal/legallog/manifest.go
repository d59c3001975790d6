package legallog

import (
	"bufio"
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Manifest is what is signed of a sealed file. Its JSON, one line, is written in
// the order of the fields.
type Manifest struct {
	Node   string    `json:"node"`
	Number int64     `json:"number"` // of the seal, from 1
	File   string    `json:"file"`
	SHA256 Hash      `json:"sha256"` // of the file
	Rows   int64     `json:"rows"`
	First  int64     `json:"first"` // seq of the first row
	Last   int64     `json:"last"`
	Before Hash      `json:"before"` // hash of the chain before the first row
	After  Hash      `json:"after"`  // and after the last
	Root   Hash      `json:"root"`   // of the Merkle tree
	Sealed time.Time `json:"sealed"` // in UTC, whole seconds
	// Previous is the SHA-256 of the manifest before; zeros for the first.
	Previous Hash `json:"previous"`
}

// The names of a seal's files differ in their endings.
const (
	rowsEnding      = ".ndjson"
	manifestEnding  = ".json"
	signatureEnding = ".p7s" // CMS, detached, over the manifest
	stampEnding     = ".tsr" // RFC 3161 TimeStampResp, over the signature
)

// encode is the manifest as it is signed.
func (m *Manifest) encode() ([]byte, error) {
	line, err := encodeLine(m)
	if err != nil {
		return nil, fmt.Errorf("writing the manifest of %s: %w", m.File, err)
	}
	return line, nil
}

// encodeLine is a value as JSON on one line, with its line feed.
func encodeLine(value any) ([]byte, error) {
	var line bytes.Buffer
	encoder := json.NewEncoder(&line)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(value)
	return line.Bytes(), err
}

// seal is a manifest in a directory.
type seal struct {
	Manifest
	text []byte
	base string // its path without the ending
}

func (s *seal) path(ending string) string { return s.base + ending }

// hash is what the next manifest has as Previous.
func (s *seal) hash() Hash { return sha256.Sum256(s.text) }

// readSeal reads a manifest. What its file says of itself may be wrong: it is not
// verified.
func readSeal(path string) (*seal, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	s := &seal{text: text, base: strings.TrimSuffix(path, manifestEnding)}
	if err := json.Unmarshal(text, &s.Manifest); err != nil {
		return nil, fmt.Errorf("%s is no manifest: %w", path, err)
	}
	again, err := s.encode()
	if err != nil || !bytes.Equal(again, text) || s.File != filepath.Base(s.path(rowsEnding)) {
		return nil, errors.Join(fmt.Errorf("%s is not a manifest as it was written", path), err)
	}
	return s, nil
}

// readSeals gives the seals in a directory in the order of their numbers, by
// node; without names, those of all nodes. A directory that is not there has none.
func readSeals(directory string, nodes ...string) (map[string][]*seal, error) {
	entries, err := os.ReadDir(directory)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	seals := map[string][]*seal{}
	for _, entry := range entries {
		name := entry.Name()
		if filepath.Ext(name) != manifestEnding || strings.HasPrefix(name, ".") {
			continue
		}
		s, err := readSeal(filepath.Join(directory, name))
		if err != nil {
			return nil, err
		}
		if len(nodes) == 0 || slices.Contains(nodes, s.Node) {
			seals[s.Node] = append(seals[s.Node], s)
		}
	}
	for _, of := range seals {
		slices.SortFunc(of, func(a, b *seal) int { return cmp.Compare(a.Number, b.Number) })
	}
	return seals, nil
}

// strays are signatures and stamps whose manifest is gone. Rows alone are left by a
// seal that was interrupted.
func strays(directory string) error {
	var found error
	for _, ending := range []string{signatureEnding, stampEnding} {
		paths, err := filepath.Glob(escapeGlob(directory) + "/*" + ending)
		if err != nil {
			return err
		}
		for _, path := range paths {
			there, err := exists(strings.TrimSuffix(path, ending) + manifestEnding)
			if err == nil && !there {
				err = fmt.Errorf("%s is there without its manifest", filepath.Base(path))
			}
			found = errors.Join(found, err)
		}
	}
	return found
}

// follows tells what is wrong with a seal as the one after another; before is nil
// for the first one.
func (s *seal) follows(before *seal) error {
	want := Manifest{Number: 1, Before: First(s.Node)}
	if before != nil {
		want = Manifest{Number: before.Number + 1, Before: before.After, Previous: before.hash()}
	}
	switch {
	case s.Number != want.Number:
		return fmt.Errorf("seal %d is missing", want.Number)
	case s.Previous != want.Previous:
		return errors.New("it names another manifest as the one before")
	case s.Before != want.Before:
		return errors.New("its chain does not go on from the seal before")
	case before != nil && s.First <= before.Last:
		return fmt.Errorf("its rows begin at %d, the seal before ended at %d", s.First, before.Last)
	}
	return nil
}

// rowReader reads the lines of a file, each a row, and sums them up.
type rowReader struct {
	lines *bufio.Reader
	sum   interface {
		io.Writer
		Sum([]byte) []byte
	}
	found Manifest
	tree  Tree
}

func newRowReader(r io.Reader, before Hash) *rowReader {
	sum := sha256.New()
	return &rowReader{
		lines: bufio.NewReaderSize(io.TeeReader(r, sum), 1<<16), sum: sum, found: Manifest{Before: before, After: before},
	}
}

// errChain means that a row is not the one that was chained to the row before.
var errChain = errors.New("its hash does not follow from the row before and from what it says")

// next gives the next row and its line, or io.EOF. The row comes with an error
// too, where it can be read: ErrNotCanonical or errChain.
func (r *rowReader) next() (Row, []byte, error) {
	line, err := r.lines.ReadBytes('\n')
	if len(line) == 0 && err != nil {
		return Row{}, nil, err
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return Row{}, nil, err
	}
	row, err := ParseLine(line)
	if err != nil {
		return row, line, err
	}
	if r.found.Rows > 0 && row.Seq <= r.found.Last {
		return row, line, fmt.Errorf("%w: it is not after row %d", ErrNotCanonical, r.found.Last)
	}
	hash, err := r.found.After.Next(row)
	if err != nil {
		return row, line, err
	}
	r.tree.Add(line)
	if r.found.Rows == 0 {
		r.found.First = row.Seq
	}
	r.found.Rows, r.found.Last, r.found.After = r.found.Rows+1, row.Seq, hash
	if hash != row.Hash {
		return row, line, errChain
	}
	return row, line, nil
}

// end gives what a manifest says of the rows, after the last.
func (r *rowReader) end() Manifest {
	r.found.SHA256, r.found.Root = Hash(r.sum.Sum(nil)), r.tree.Root()
	return r.found
}
