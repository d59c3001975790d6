package legallog

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/pec-milter/pec-milter/pec"
)

// Verification is what there is to compare: the rows of the database, the sealed
// files, and the anchors.
type Verification struct {
	// Rows are all rows of the database, in its order; nil: only the files are
	// verified.
	Rows iter.Seq2[Row, error]
	// Seals are the directories of the sealed files, of all nodes.
	Seals []string
	// Anchors are the files of anchors.
	Anchors []string
	// Signer tells whether the signer of a manifest is the provider; nil: nobody
	// vouches for the signers.
	Signer func(*pec.Signature, time.Time) error
	// Stamp verifies a time stamp of a digest and gives its time; nil: there is no
	// authority to judge them by.
	Stamp func(stamp []byte, digest [32]byte) (time.Time, error)
	// StampBy is how long a seal may be without its stamp.
	StampBy time.Duration
	Now     time.Time
	// Progress is told how many rows were compared; nil: nobody is.
	Progress func(rows int64)
}

// Fault is what is wrong with one row, or with one file.
type Fault struct {
	Node string // empty: of no node
	Seq  int64  // of the row; 0: it is about a file
	File string // empty: it is about the database
	What string
}

func (f Fault) String() string {
	where := f.File
	if f.Seq != 0 {
		where = fmt.Sprintf("row %d", f.Seq)
		if f.Node != "" {
			where += " of node " + f.Node
		}
		if f.File != "" {
			where += ", " + f.File
		}
	}
	return where + ": " + f.What
}

// Report is what was compared, and what is wrong.
type Report struct {
	Rows, Sealed, Seals, Stamps, Anchors int64
	// Faults are those of the files, and then the first bad row, after which no
	// row is looked at. None: all is as it was written.
	Faults []Fault
}

// Verify compares all with all. The error is one of reading, not of what was read.
//
// The rows are gone through in their order, so that the first bad one is named:
// every number must be there, in the database and, up to a node's last seal, in its
// sealed files, unless the sealed row is older than 30 months; both must say the
// same; each must follow in its node's chain, and be the one that was anchored.
func (v *Verification) Verify(ctx context.Context) (Report, error) {
	w := &walk{Verification: v, nodes: map[string]*nodeChain{}}
	defer w.close()
	err := w.open()
	if err == nil {
		err = w.rows(ctx)
	}
	return w.report, err
}

// walk goes through rows.
type walk struct {
	*Verification
	report Report
	nodes  map[string]*nodeChain
	next   func() (Row, error, bool) // of the database
	stop   func()
	row    *Row // of the database, not yet compared; nil: there are no more
}

// nodeChain is what is known of one node.
type nodeChain struct {
	node    string
	after   Hash // of the last row
	last    int64
	sealed  *sealedRows
	anchors []Anchor // of rows to come
}

func (w *walk) fault(f Fault) { w.report.Faults = append(w.report.Faults, f) }

func (w *walk) close() {
	if w.stop != nil {
		w.stop()
	}
	for _, c := range w.nodes {
		c.sealed.close()
	}
}

// open reads the manifests and the anchors.
func (w *walk) open() error {
	all := map[string][]*seal{}
	for _, directory := range w.Seals {
		seals, err := readSeals(directory)
		if err = errors.Join(err, strays(directory)); err != nil {
			w.fault(Fault{File: directory, What: err.Error()})
		}
		for node, of := range seals {
			all[node] = append(all[node], of...)
		}
	}
	for _, node := range slices.Sorted(maps.Keys(all)) {
		w.checkSeals(all[node])
		c := w.chain(node)
		c.after, c.last, c.sealed = all[node][0].Before, all[node][0].First-1, &sealedRows{seals: all[node]}
	}
	for _, path := range w.Anchors {
		anchors, err := readAnchors(path)
		if err != nil {
			return fmt.Errorf("reading anchors: %w", err)
		}
		for _, a := range anchors {
			if c := w.chain(a.Node); a.Seq > c.last {
				c.anchors = append(c.anchors, a)
			}
		}
	}
	for _, c := range w.nodes {
		slices.SortStableFunc(c.anchors, func(a, b Anchor) int { return cmp.Compare(a.Seq, b.Seq) })
	}
	return nil
}

func (w *walk) chain(node string) *nodeChain {
	if w.nodes[node] == nil {
		w.nodes[node] = &nodeChain{node: node, after: First(node), sealed: &sealedRows{}}
	}
	return w.nodes[node]
}

// rows goes through all rows until one is bad.
func (w *walk) rows(ctx context.Context) error {
	if w.Rows != nil {
		w.next, w.stop = iter.Pull2(w.Rows)
	}
	if err := w.advance(); err != nil {
		return err
	}
	for seq := w.start(); ctx.Err() == nil; seq++ {
		if w.Rows == nil {
			if seq = w.lowestSealed(); seq == 0 {
				return nil
			}
		}
		bad, more, err := w.compare(seq)
		if err != nil {
			return err
		}
		if bad != nil {
			w.fault(*bad)
			return nil
		}
		if !more {
			w.afterLast(seq)
			return nil
		}
		if w.Progress != nil && w.report.Rows%1000 == 0 {
			w.Progress(w.report.Rows)
		}
	}
	return ctx.Err()
}

// advance reads the next row of the database.
func (w *walk) advance() error {
	w.row = nil
	if w.next == nil {
		return nil
	}
	row, err, more := w.next()
	if more && err == nil {
		w.row = &row
	}
	return err
}

// start is the number that the first row must have: 1, unless the first seals are
// gone after their time.
func (w *walk) start() int64 {
	var start int64
	for _, c := range w.nodes {
		if c.sealed.seals == nil || c.sealed.seals[0].Number == 1 || !over(c.sealed.seals[0].Sealed, w.Now) {
			return 1
		}
		if first := c.sealed.seals[0].First; start == 0 || first < start {
			start = first
		}
	}
	return max(start, 1)
}

// lowestSealed is the lowest number of the sealed rows not yet compared; 0: there
// are none.
func (w *walk) lowestSealed() int64 {
	var lowest int64
	for _, c := range w.nodes {
		if s := c.sealed.peek(); s != nil && (lowest == 0 || s.Seq < lowest) {
			lowest = s.Seq
		}
	}
	return lowest
}

// compare compares what has one number. more is false if nothing has it, nor a
// higher one.
func (w *walk) compare(seq int64) (bad *Fault, more bool, err error) {
	var of *nodeChain // who has sealed it
	pending := false
	for _, c := range w.nodes {
		s := c.sealed.peek()
		pending = pending || s != nil
		if s != nil && s.bad == nil && s.Seq == seq {
			if of != nil {
				return &Fault{Node: c.node, Seq: seq, File: s.file, What: "node " + of.node + " has sealed a row of that number too"}, true, nil
			}
			of = c
		}
	}
	switch {
	case w.row == nil && !pending:
		return nil, false, nil
	case w.row != nil && w.row.Seq < seq:
		return &Fault{Node: w.row.Node, Seq: w.row.Seq, What: "the database has its number twice"}, true, nil
	case w.row != nil && w.row.Seq == seq:
		row := *w.row
		if bad = w.compareRow(row, of); bad != nil {
			return bad, true, nil
		}
		return nil, true, w.advance()
	case of == nil:
		return w.missing(seq), true, nil
	}
	return w.compareSealed(of), true, nil
}

// missing is the fault of a number that nothing has: because a sealed file cannot
// be read on, or for no reason that can be seen.
func (w *walk) missing(seq int64) *Fault {
	for _, node := range slices.Sorted(maps.Keys(w.nodes)) {
		if s := w.nodes[node].sealed.peek(); s != nil && s.bad != nil {
			return &Fault{Node: node, Seq: seq, File: s.file, What: s.bad.Error()}
		}
	}
	return &Fault{Seq: seq, What: "it is missing"}
}

// compareRow compares a row of the database with what was sealed, if it was.
func (w *walk) compareRow(row Row, of *nodeChain) *Fault {
	w.report.Rows++
	c := w.chain(row.Node)
	fault := func(format string, values ...any) *Fault {
		return &Fault{Node: row.Node, Seq: row.Seq, What: fmt.Sprintf(format, values...)}
	}
	s := c.sealed.peek()
	switch {
	case s != nil && s.bad != nil:
		f := fault("%v", s.bad)
		f.File = s.file
		return f
	case of != nil && of != c:
		return fault("it says that it is of node %s: node %s has sealed it", row.Node, of.node)
	case of != nil:
		line, err := row.Line()
		if err != nil {
			return fault("%v", err)
		}
		if !bytes.Equal(line, s.line) {
			return fault("the database and %s differ in %s", s.file, difference(line, s.line))
		}
		w.report.Sealed++
		c.sealed.take()
	case s != nil:
		return fault("it is in the database and not in the sealed file: there row %d is next", s.Seq)
	}
	return c.follow(w, row)
}

// compareSealed: a sealed row is not in the database.
func (w *walk) compareSealed(c *nodeChain) *Fault {
	s := c.sealed.take()
	w.report.Sealed++
	if w.Rows != nil && !over(s.Time, w.Now) {
		return &Fault{Node: c.node, Seq: s.Seq, File: s.file, What: "it is sealed and not in the database, though its 30 months are not over"}
	}
	return c.follow(w, s.Row)
}

// follow goes on in the chain of a node with a row.
func (c *nodeChain) follow(w *walk, row Row) *Fault {
	hash, err := c.after.Next(row)
	if err == nil && hash != row.Hash {
		err = errChain
	}
	if err != nil {
		return &Fault{Node: c.node, Seq: row.Seq, What: err.Error()}
	}
	for len(c.anchors) > 0 && c.anchors[0].Seq <= row.Seq {
		a := c.anchors[0]
		c.anchors = c.anchors[1:]
		if a.Seq != row.Seq || a.Hash != row.Hash {
			return &Fault{Node: c.node, Seq: a.Seq, What: "it is not the row that was anchored at " + a.Time.Format(time.RFC3339)}
		}
		w.report.Anchors++
	}
	c.after, c.last = hash, row.Seq
	return nil
}

// afterLast: rows that were anchored must be there.
func (w *walk) afterLast(missing int64) {
	for _, node := range slices.Sorted(maps.Keys(w.nodes)) {
		c := w.nodes[node]
		if len(c.anchors) > 0 && w.Rows != nil {
			a := c.anchors[0]
			w.fault(Fault{Seq: missing, Node: node, What: fmt.Sprintf("it is missing, and all after it: row %d of the node was anchored at %s",
				a.Seq, a.Time.Format(time.RFC3339))})
			return
		}
	}
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
