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
	// row is looked at, and losses of which nobody took note. None: all is as it was
	// written, but for what is Lost.
	Faults []Fault
	// Lost are rows that a database lacks since it was restored, of which somebody took
	// note by an import.
	Lost []Fault
}

// Verify compares all with all. The error is one of reading, not of what was read.
//
// The rows are gone through in their order, so that the first bad one is named:
// every number must be there, in the database and, up to a node's last seal, in its
// sealed files, unless the sealed row is older than 30 months; both must say the
// same; each must follow in its node's chain, and be the one that was anchored. A row
// of the kind restored, of which an import took note, excuses numbers and anchors of
// rows that the database has lost, but not the lack of a sealed row.
func (v *Verification) Verify(ctx context.Context) (Report, error) {
	w := &walk{Verification: v, nodes: map[string]*nodeChain{}}
	defer w.close()
	err := w.open()
	if err == nil {
		err = w.rows(ctx)
	}
	for _, lost := range w.lost {
		lost.What += ", and nobody has taken note of it: run pec-milter log import"
		w.fault(lost)
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
	// gap is the first number that nothing has and no row has excused; 0: there is none.
	gap  int64
	lost []Fault // what nobody took note of
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
	for seq := w.start(); ctx.Err() == nil; {
		if w.Rows == nil {
			if seq = w.above(0); seq == 0 {
				return nil
			}
		}
		bad, next, err := w.compare(seq)
		switch {
		case err != nil:
			return err
		case w.gap != 0 && (bad != nil || next == 0):
			bad = &Fault{Seq: w.gap, What: missing}
		case next == 0:
			bad = w.afterLast(seq)
		}
		if bad != nil {
			w.fault(*bad)
		}
		if bad != nil || next == 0 {
			return nil
		}
		seq = next
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

// above is the lowest number above another that the database has next, or a sealed
// file; 0: there is none.
func (w *walk) above(seq int64) int64 {
	var lowest int64
	note := func(found int64) {
		if found > seq && (lowest == 0 || found < lowest) {
			lowest = found
		}
	}
	if w.row != nil {
		note(w.row.Seq)
	}
	for _, c := range w.nodes {
		if s := c.sealed.peek(); s != nil {
			note(s.Seq)
		}
	}
	return lowest
}

// compare compares what has one number, and gives the next one to compare; 0: nothing
// has it, nor a higher one.
func (w *walk) compare(seq int64) (bad *Fault, next int64, err error) {
	var of *nodeChain // who has sealed it
	pending := false
	for _, c := range w.nodes {
		s := c.sealed.peek()
		pending = pending || s != nil
		if s != nil && s.bad == nil && s.Seq == seq {
			if of != nil {
				return &Fault{Node: c.node, Seq: seq, File: s.file, What: "node " + of.node + " has sealed a row of that number too"}, seq, nil
			}
			of = c
		}
	}
	switch {
	case w.row == nil && !pending:
		return nil, 0, nil
	case w.row != nil && w.row.Seq < seq:
		return &Fault{Node: w.row.Node, Seq: w.row.Seq, What: "the database has its number twice"}, seq, nil
	case w.row != nil && w.row.Seq == seq:
		row := *w.row
		if bad = w.compareRow(row, of); bad != nil {
			return bad, seq, nil
		}
		return nil, seq + 1, w.advance()
	case of == nil:
		bad, next = w.leftOut(seq)
		return bad, next, nil
	}
	return w.compareSealed(of), seq + 1, nil
}

const missing = "it is missing"

// leftOut goes on after a number that nothing has. It is a fault if no row that comes
// later excuses it; at once if a sealed file cannot be read on.
func (w *walk) leftOut(seq int64) (*Fault, int64) {
	for _, node := range slices.Sorted(maps.Keys(w.nodes)) {
		if s := w.nodes[node].sealed.peek(); s != nil && s.bad != nil {
			return &Fault{Node: node, Seq: seq, File: s.file, What: s.bad.Error()}, seq
		}
	}
	w.gap = cmp.Or(w.gap, seq)
	return nil, w.above(seq)
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
		return &Fault{Node: c.node, Seq: s.Seq, File: s.file, What: "it is sealed and not in the database, though its 30 months are not over" +
			": if the database was restored, pec-milter log import puts it back"}
	}
	return c.follow(w, s.Row)
}
