package legallog

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// Anchor is the head of a node's chain at a time, kept outside the database: who
// changes the database cannot change it.
type Anchor struct {
	Time time.Time `json:"time"`
	Head
}

// AppendAnchor writes a line to the file of anchors, on the disk when it returns.
func AppendAnchor(path string, head Head, now time.Time) (err error) {
	line, err := encodeLine(Anchor{now.UTC().Truncate(time.Second), head})
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	end := []byte{'\n'}
	if size, _ := f.Seek(0, io.SeekEnd); size > 0 {
		_, err = f.ReadAt(end, size-1)
	}
	if end[0] != '\n' {
		line = append([]byte{'\n'}, line...) // a crash has cut the last line off
	}
	if err == nil {
		_, err = f.Write(line)
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// readAnchors reads a file of anchors; one that is not there has none. A line that
// was cut off by a crash is passed over.
func readAnchors(path string) ([]Anchor, error) {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var anchors []Anchor
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		if !bytes.HasSuffix(lines.Bytes(), []byte("}")) {
			continue
		}
		var anchor Anchor
		if err := json.Unmarshal(lines.Bytes(), &anchor); err != nil {
			return nil, fmt.Errorf("%s: line %d is no anchor: %w", path, n, err)
		}
		anchors = append(anchors, anchor)
	}
	return anchors, lines.Err()
}
