package legallog

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
)

// Known is the end of a node's chain as its seals and its anchors have it; Seq 0: they
// have none. The node's log must not go on before it: see Log.Remember. Of the files
// only the last is read.
func Known(directory, anchors, node string) (Head, error) {
	known, err := lastSealed(directory, node)
	if err != nil {
		return Head{}, fmt.Errorf("looking for the last sealed row of the legal log: %w", err)
	}
	anchor, err := lastAnchor(anchors, node)
	if err != nil {
		return Head{}, fmt.Errorf("looking for the last anchor of the legal log: %w", err)
	}
	if anchor.Seq > known.Seq {
		known = anchor
	}
	return known, nil
}

// anchorsEnd is how much of a file of anchors is read: hundreds of lines.
const anchorsEnd = 1 << 16

// lastAnchor is the highest of the last anchors of a node.
func lastAnchor(path, node string) (Head, error) {
	last := Head{Node: node}
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return last, nil
	}
	if err != nil {
		return last, err
	}
	defer f.Close()
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return last, err
	}
	text := make([]byte, min(size, anchorsEnd))
	if _, err := f.ReadAt(text, size-int64(len(text))); err != nil {
		return last, err
	}
	for line := range bytes.Lines(text) {
		var a Anchor // a line that was cut off is passed over
		if json.Unmarshal(line, &a) == nil && a.Node == node && a.Seq > last.Seq {
			last = a.Head
		}
	}
	return last, nil
}

// sealName is the name of a file of a seal, after the node's.
var sealName = regexp.MustCompile(`^-[0-9]{8}-([0-9]+)\.(ndjson|json)$`)

// lastSealed is the end of the last seal of a node, or of the rows of one that was
// interrupted.
func lastSealed(directory, node string) (Head, error) {
	last := Head{Node: node}
	prefix := filepath.Join(directory, url.PathEscape(node))
	names, err := filepath.Glob(escapeGlob(prefix) + "-*")
	if err != nil {
		return last, err
	}
	var number int64
	base := ""
	for _, name := range names {
		if parts := sealName.FindStringSubmatch(name[len(prefix):]); parts != nil {
			if n, err := strconv.ParseInt(parts[1], 10, 64); err == nil && n > number {
				number, base = n, name[:len(name)-len(filepath.Ext(name))]
			}
		}
	}
	if base == "" {
		return last, nil
	}
	m, err := readSeal(base + manifestEnding)
	if err != nil { // it was interrupted, or the manifest is damaged
		return lastLine(base + rowsEnding)
	}
	last.Seq, last.Hash = m.Last, m.After
	return last, nil
}

// lastLine is the last row of a file.
func lastLine(path string) (Head, error) {
	f, err := os.Open(path)
	if err != nil {
		return Head{}, err
	}
	defer f.Close()
	var last Head
	for lines := bufio.NewReader(f); ; {
		line, err := lines.ReadBytes('\n')
		if len(line) == 0 && err == io.EOF {
			return last, nil
		}
		var row Row
		if err == nil {
			row, err = ParseLine(line)
		}
		if err != nil {
			return last, fmt.Errorf("%s: after row %d: %w", path, last.Seq, err)
		}
		last = Head{row.Node, row.Seq, row.Hash}
	}
}
