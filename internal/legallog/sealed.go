package legallog

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/pec-milter/pec-milter/pec"
)

// maxSkew is how much the clocks of two may differ.
const maxSkew = time.Minute

// sealedRows reads the rows of a node's sealed files, one after the other.
type sealedRows struct {
	seals  []*seal
	at     int // the one that is read
	file   *os.File
	reader *rowReader
	row    *sealedRow // not yet taken
}

// sealedRow is a row of a sealed file; bad: the file cannot be read on here, or is
// not what its manifest says.
type sealedRow struct {
	Row
	line []byte
	file string
	bad  error
}

// peek is the next row; nil: there are no more.
func (s *sealedRows) peek() *sealedRow {
	for s.row == nil && s.at < len(s.seals) {
		s.row = s.read(s.seals[s.at])
	}
	return s.row
}

// take is the next row, which is gone then.
func (s *sealedRows) take() *sealedRow {
	row := s.peek()
	s.row = nil
	return row
}

func (s *sealedRows) close() {
	if s.file != nil {
		s.file.Close() // it was only read
	}
	s.file, s.reader = nil, nil
}

// read reads on in a file; nil: it is at its end.
func (s *sealedRows) read(m *seal) *sealedRow {
	bad := func(seq int64, err error) *sealedRow {
		return &sealedRow{Row: Row{Seq: seq}, file: m.File, bad: err}
	}
	if s.reader == nil {
		file, err := os.Open(m.path(rowsEnding))
		if err != nil {
			return bad(m.First, err)
		}
		s.file, s.reader = file, newRowReader(file, m.Before)
	}
	row, line, err := s.reader.next()
	switch {
	case err == io.EOF:
		found := s.reader.end()
		s.close()
		if err := m.sums(found); err != nil {
			return bad(m.Last+1, err)
		}
		s.at++
		return nil
	case err != nil && !errors.Is(err, errChain): // the chain is for the caller to follow
		return bad(max(m.First, s.reader.found.Last+1), fmt.Errorf("line %d: %w", s.reader.found.Rows+1, err))
	case row.Node != m.Node:
		return bad(row.Seq, fmt.Errorf("line %d is of node %s", s.reader.found.Rows, row.Node))
	}
	return &sealedRow{Row: row, line: line, file: m.File}
}

// sums compares a manifest with what was found in its file.
func (m *Manifest) sums(found Manifest) error {
	found.Node, found.Number, found.File, found.Sealed, found.Previous = m.Node, m.Number, m.File, m.Sealed, m.Previous
	if found == *m {
		return nil
	}
	return fmt.Errorf("the file is not what its manifest says: %d rows from %d to %d, SHA-256 %s, not %d from %d to %d, %s",
		found.Rows, found.First, found.Last, found.SHA256, m.Rows, m.First, m.Last, m.SHA256)
}

// checkSeals checks the manifests of a node, their signatures and stamps.
func (w *walk) checkSeals(of []*seal) {
	var before *seal
	for _, m := range of {
		w.report.Seals++
		err := m.follows(before)
		if before == nil && m.Number > 1 && over(m.Sealed, w.Now) {
			err = nil // the seals before had their time
		}
		for _, check := range []func(*seal) error{w.checkSignature, w.checkStamp} {
			if err == nil {
				err = check(m)
			}
		}
		if err != nil {
			w.fault(Fault{Node: m.Node, File: m.path(manifestEnding), What: err.Error()})
		}
		before = m
	}
}

func (w *walk) checkSignature(m *seal) error {
	signature, err := os.ReadFile(m.path(signatureEnding))
	if err != nil {
		return fmt.Errorf("it is not signed: %w", err)
	}
	signed, err := pec.VerifyDetached(bytes.NewReader(m.text), signature)
	if err != nil {
		return err
	}
	if w.Signer == nil {
		return nil
	}
	return w.Signer(signed, m.Sealed)
}

func (w *walk) checkStamp(m *seal) error {
	if w.Stamp == nil {
		return nil
	}
	stamp, err := os.ReadFile(m.path(stampEnding))
	if errors.Is(err, os.ErrNotExist) && w.Now.Sub(m.Sealed) <= w.StampBy {
		return nil
	}
	if err != nil {
		return fmt.Errorf("it has no time stamp: %w", err)
	}
	signature, err := os.ReadFile(m.path(signatureEnding))
	if err != nil {
		return err
	}
	at, err := w.Stamp(stamp, sha256.Sum256(signature))
	if err != nil {
		return err
	}
	if at.Before(m.Sealed.Add(-maxSkew)) {
		return fmt.Errorf("its time stamp is of %s, before it was sealed", at.UTC().Format("2006-01-02 15:04:05"))
	}
	w.report.Stamps++
	return nil
}

// fields are those of a line.
func fields(line []byte) (map[string]json.RawMessage, error) {
	var found map[string]json.RawMessage
	err := json.Unmarshal(bytes.TrimSpace(line), &found)
	return found, err
}
