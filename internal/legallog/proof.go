package legallog

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// Proof leads from the line of a row to a seal.
type Proof struct {
	Seq  int64
	Line []byte // of the row, as in the database
	// Seal is the one that has the row; nil: none has.
	Seal *Sealed
	// Path has what the row's leaf is joined with, up to the root in the manifest.
	Path []Step
}

// Step is one level of a path in the tree.
type Step struct {
	Hash Hash // of the neighbour
	Left bool // the neighbour is on the left
}

// Sealed is what vouches for a sealed file.
type Sealed struct {
	Name      string // of its files, without their endings
	Manifest  []byte
	Signature []byte
	Stamp     []byte // nil: it has none yet
}

// Prove looks for rows in the sealed files of directories. A row that differs from
// its sealed line is an error, and a sealed file that is not what its manifest says.
func Prove(directories []string, rows []Row) ([]Proof, error) {
	proofs := make([]Proof, len(rows))
	for n, row := range rows {
		line, err := row.Line()
		if err != nil {
			return nil, err
		}
		proofs[n] = Proof{Seq: row.Seq, Line: line}
	}
	for _, directory := range directories {
		seals, err := readSeals(directory)
		if err != nil {
			return nil, err
		}
		for node, of := range seals {
			for _, s := range of {
				wanted := map[int64]*Proof{}
				for n, row := range rows {
					if row.Node == node && s.First <= row.Seq && row.Seq <= s.Last {
						wanted[row.Seq] = &proofs[n]
					}
				}
				if err := s.prove(wanted); err != nil {
					return nil, fmt.Errorf("%s: %w: see pec-milter log verify", s.File, err)
				}
			}
		}
	}
	return proofs, nil
}

// prove finds the paths of rows that must be in the file of a seal. One that is not
// signed yet proves nothing.
func (s *seal) prove(wanted map[int64]*Proof) error {
	sealed := &Sealed{Name: filepath.Base(s.base), Manifest: s.text}
	var err error
	sealed.Signature, err = os.ReadFile(s.path(signatureEnding))
	if len(wanted) == 0 || errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err == nil {
		sealed.Stamp, err = os.ReadFile(s.path(stampEnding))
		if errors.Is(err, os.ErrNotExist) {
			err = nil
		}
	}
	if err != nil {
		return err
	}
	leaves, chosen, err := s.leaves(wanted)
	if err != nil {
		return err
	}
	for n, path := range paths(leaves, chosen) {
		wanted[chosen[n].seq].Seal, wanted[chosen[n].seq].Path = sealed, path
	}
	return nil
}

// leaf is the place of a row in a sealed file.
type leaf struct {
	seq   int64
	place int
}

// leaves are those of the file, and the places of the rows that are wanted.
func (s *seal) leaves(wanted map[int64]*Proof) (leaves []Hash, chosen []leaf, err error) {
	f, err := os.Open(s.path(rowsEnding))
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	reader := newRowReader(f, s.Before)
	for {
		row, line, err := reader.next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, nil, fmt.Errorf("row %d: %w", row.Seq, err)
		}
		if proof := wanted[row.Seq]; proof != nil {
			if !bytes.Equal(line, proof.Line) {
				return nil, nil, fmt.Errorf("row %d: the database and the file differ", row.Seq)
			}
			chosen = append(chosen, leaf{row.Seq, len(leaves)})
		}
		leaves = append(leaves, Leaf(line))
	}
	if len(chosen) != len(wanted) {
		return nil, nil, fmt.Errorf("it has %d of %d rows that should be in it", len(chosen), len(wanted))
	}
	return leaves, chosen, s.sums(reader.end())
}

// paths are those of chosen leaves, which all are gone through once, level by level.
func paths(level []Hash, chosen []leaf) [][]Step {
	found := make([][]Step, len(chosen))
	places := make([]int, len(chosen))
	for n, c := range chosen {
		places[n] = c.place
	}
	for len(level) > 1 {
		for n, place := range places {
			if neighbour := place ^ 1; neighbour < len(level) {
				found[n] = append(found[n], Step{Hash: level[neighbour], Left: neighbour < place})
			}
			places[n] = place / 2
		}
		var above []Hash
		for n := 0; n < len(level); n += 2 {
			if n+1 < len(level) {
				above = append(above, Inner(level[n], level[n+1]))
			} else {
				above = append(above, level[n])
			}
		}
		level = above
	}
	return found
}
