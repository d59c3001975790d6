package legallog

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/pec-milter/pec-milter/internal/point"
)

// nodeChain is what is known of one node.
type nodeChain struct {
	node    string
	after   Hash // of the last row
	last    int64
	sealed  *sealedRows
	anchors []Anchor // of rows to come
}

// follow goes on in the chain of a node with a row.
func (c *nodeChain) follow(w *walk, row Row) *Fault {
	fault := func(seq int64, what string) *Fault { return &Fault{Node: c.node, Seq: seq, What: what} }
	if lost, is := lossOf(&row); is {
		if what := c.lose(w, &row, &lost); what != "" {
			return fault(row.Seq, what)
		}
	}
	hash, err := c.after.Next(row)
	if err == nil && hash != row.Hash {
		err = errChain
	}
	if err != nil {
		return fault(row.Seq, err.Error())
	}
	for len(c.anchors) > 0 && c.anchors[0].Seq <= row.Seq {
		a := c.anchors[0]
		c.anchors = c.anchors[1:]
		if a.Seq != row.Seq || a.Hash != row.Hash {
			return fault(a.Seq, "it is not the row that was anchored at "+a.Time.Format(time.RFC3339))
		}
		w.report.Anchors++
	}
	c.after, c.last = hash, row.Seq
	if row.Kind == point.EventImported {
		w.report.Lost, w.lost = append(w.report.Lost, w.lost...), nil
	}
	return nil
}

// lose takes note of what a row of the kind restored says, and tells what is wrong
// with that.
func (c *nodeChain) lose(w *walk, row *Row, l *loss) string {
	if l.after.Seq < c.last || l.after.Seq == c.last && l.after.Hash != c.after {
		return fmt.Sprintf("it does not go on after row %d, the last one of its node", c.last)
	}
	for len(c.anchors) > 0 && c.anchors[0].Seq <= l.after.Seq {
		a := c.anchors[0]
		c.anchors = c.anchors[1:]
		if a.Seq == l.after.Seq && a.Hash != l.after.Hash {
			return fmt.Sprintf("it goes on after row %d, which was not the one anchored at %s", a.Seq, a.Time.Format(time.RFC3339))
		}
	}
	if l.after.Seq > c.last {
		w.lost = append(w.lost, Fault{Node: c.node, Seq: row.Seq, What: fmt.Sprintf(
			"the database was restored to an older state: of the node's rows those after %d, up to %d, are lost", c.last, l.after.Seq)})
	}
	if w.gap > l.ended {
		w.gap = 0
	}
	return ""
}

// afterLast: rows that were anchored must be there.
func (w *walk) afterLast(missing int64) *Fault {
	for _, node := range slices.Sorted(maps.Keys(w.nodes)) {
		if c := w.nodes[node]; len(c.anchors) > 0 && w.Rows != nil {
			return &Fault{Seq: missing, Node: node, What: fmt.Sprintf("it is missing, and all after it: row %d of the node was anchored at %s",
				c.anchors[0].Seq, c.anchors[0].Time.Format(time.RFC3339))}
		}
	}
	return nil
}

// difference names the fields in which two lines differ.
func difference(a, b []byte) string {
	x, err := fields(a)
	y, err2 := fields(b)
	if err := errors.Join(err, err2); err != nil {
		return err.Error()
	}
	var names []string
	for _, name := range slices.Sorted(maps.Keys(x)) {
		if !bytes.Equal(x[name], y[name]) {
			names = append(names, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(y)) {
		if _, there := x[name]; !there {
			names = append(names, name)
		}
	}
	return fmt.Sprint(names)
}
