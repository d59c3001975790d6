package legallog

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"iter"

	"github.com/pec-milter/pec-milter/internal/point"
)

// maxLine bounds a line: a message with thousands of recipients has half a megabyte.
const maxLine = 16 << 20

// ReadLines reads rows as log export and the sealed files have them, one JSON object a
// line. Others' fields are passed over: whether the rows are as they were written is
// not asked. name is for errors, after which there are no more rows.
func ReadLines(r io.Reader, name string) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		lines := bufio.NewScanner(r)
		lines.Buffer(make([]byte, 1<<16), maxLine)
		for n := 1; lines.Scan(); n++ {
			var read jsonRow
			err := json.Unmarshal(lines.Bytes(), &read)
			if err == nil && (read.Kind == "" || read.Time.IsZero()) {
				err = fmt.Errorf("it has no kind or no time")
			}
			if err != nil {
				yield(Row{}, fmt.Errorf("%s: line %d is no row of the legal log: %w", name, n, err))
				return
			}
			row := Row{Seq: read.Seq, Node: read.Node, Event: point.Event(read.jsonEvent)}
			if read.Hash != nil {
				row.Hash = *read.Hash
			}
			if !yield(row, nil) {
				return
			}
		}
		if err := lines.Err(); err != nil {
			yield(Row{}, fmt.Errorf("reading %s: %w", name, err))
		}
	}
}
