package legallog

import (
	"bufio"
	"cmp"
	"container/heap"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"slices"

	"github.com/pec-milter/pec-milter/internal/point"
)

// sortedAtOnce is how many rows are sorted in memory; more are sorted in temporary
// files.
const sortedAtOnce = 50_000

// sorted gives the rows that have an id in the order of their ids, those of one id
// in the order of seq. After an error it gives no more.
func sorted(rows iter.Seq2[Row, error]) iter.Seq2[Row, error] { return sortedBy(rows, sortedAtOnce) }

func sortedBy(rows iter.Seq2[Row, error], atOnce int) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		var s sorter
		defer s.close()
		for row, err := range rows {
			if err == nil && row.ID != "" {
				s.rows = append(s.rows, slim(row))
			}
			if err == nil && len(s.rows) == atOnce {
				err = s.spill()
			}
			if err != nil {
				yield(Row{}, err)
				return
			}
		}
		if err := s.merge(yield); err != nil {
			yield(Row{}, err)
		}
	}
}

// slim is what the rules look at of a row.
func slim(row Row) Row {
	e := &row.Event
	kept := Row{Seq: row.Seq, Event: point.Event{
		Time: e.Time, Kind: e.Kind, ID: e.ID, Notice: e.Notice, NoticeID: e.NoticeID, Sender: e.Sender, Recipients: e.Recipients,
		Delivered: e.Delivered, TakenFor: e.TakenFor,
	}}
	if e.RecordedAgain() {
		kept.Detail = e.Detail
	}
	return kept
}

func compareRows(a, b Row) int { return cmp.Or(cmp.Compare(a.ID, b.ID), cmp.Compare(a.Seq, b.Seq)) }

// sorter sorts more rows than there is memory for: runs of them in files, which
// are merged.
type sorter struct {
	rows  []Row // not yet in a run
	files []*os.File
}

// close removes the files.
func (s *sorter) close() {
	for _, f := range s.files {
		f.Close()
	}
}

// spill makes a run of the rows so far. Its file has no name: it goes with us,
// whatever ends us.
func (s *sorter) spill() error {
	slices.SortFunc(s.rows, compareRows)
	f, err := os.CreateTemp("", "pec-milter-sort")
	if err != nil {
		return err
	}
	s.files = append(s.files, f)
	w := bufio.NewWriterSize(f, 1<<16)
	encoder := gob.NewEncoder(w)
	err = os.Remove(f.Name())
	for n := 0; n < len(s.rows) && err == nil; n++ {
		err = encoder.Encode(&s.rows[n])
	}
	if err = errors.Join(err, w.Flush()); err != nil {
		return fmt.Errorf("sorting rows in a temporary file: %w", err)
	}
	s.rows = s.rows[:0]
	return nil
}

// merge gives all rows in order.
func (s *sorter) merge(yield func(Row, error) bool) error {
	slices.SortFunc(s.rows, compareRows)
	runs := runHeap{}
	for _, f := range s.files {
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return err
		}
		decoder := gob.NewDecoder(bufio.NewReaderSize(f, 1<<16))
		if err := runs.add(func(row *Row) error { return decoder.Decode(row) }); err != nil {
			return err
		}
	}
	rest := s.rows
	err := runs.add(func(row *Row) error {
		if len(rest) == 0 {
			return io.EOF
		}
		*row, rest = rest[0], rest[1:]
		return nil
	})
	for err == nil && len(runs) > 0 {
		if !yield(runs[0].row, nil) {
			return nil
		}
		err = runs.advance()
	}
	return err
}

// run is sorted rows; row is its first one that is not yet taken.
type run struct {
	row  Row
	next func(*Row) error // io.EOF: there are no more
}

// runHeap has the run with the first row at its beginning.
type runHeap []*run

func (h runHeap) Len() int           { return len(h) }
func (h runHeap) Less(i, j int) bool { return compareRows(h[i].row, h[j].row) < 0 }
func (h runHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }

// Push is for package heap.
func (h *runHeap) Push(r any) { *h = append(*h, r.(*run)) }

// Pop is for package heap.
func (h *runHeap) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}

func (h *runHeap) add(next func(*Row) error) error {
	r := &run{next: next}
	err := next(&r.row)
	if err == nil {
		heap.Push(h, r)
	}
	return ended(err)
}

// advance takes the first row.
func (h *runHeap) advance() error {
	r := (*h)[0]
	r.row = Row{} // gob leaves as it is what it does not read
	err := r.next(&r.row)
	if err != nil {
		heap.Pop(h)
	} else {
		heap.Fix(h, 0)
	}
	return ended(err)
}

func ended(err error) error {
	if err == io.EOF {
		return nil
	}
	return err
}
