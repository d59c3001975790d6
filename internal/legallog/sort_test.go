package legallog

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"github.com/pec-milter/pec-milter/internal/point"
	"github.com/pec-milter/pec-milter/pec"
)

// TestSorted: in memory and in files, the same order; nothing of one row is left in
// another one.
func TestSorted(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	random := rand.New(rand.NewPCG(3, 4))
	var rows []Row
	for n := range 1000 {
		e := point.Event{ID: fmt.Sprint(random.IntN(90)), Kind: point.EventIssued}
		if e.ID == "7" {
			e.ID = "" // is left out
		}
		if n%3 == 0 {
			e.Sender, e.Recipients, e.TakenFor = "a@x.example", []pec.Recipient{{Address: "b@x.example"}}, []string{"c@x.example"}
		}
		rows = append(rows, Row{Seq: int64(n), Event: e})
	}
	want := slices.DeleteFunc(slices.Clone(rows), func(r Row) bool { return r.ID == "" })
	slices.SortFunc(want, compareRows)
	for _, atOnce := range []int{1, 7, 100, 999, 5000} {
		var got []Row
		for row, err := range sortedBy(seqOf(rows, nil), atOnce) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, row)
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%d at once: other rows, or in another order", atOnce)
		}
	}
	if left, _ := os.ReadDir(os.Getenv("TMPDIR")); len(left) > 0 {
		t.Errorf("files are left: %v", left)
	}
}

func seqOf(rows []Row, last error) func(func(Row, error) bool) {
	return func(yield func(Row, error) bool) {
		for _, row := range rows {
			if !yield(row, nil) {
				return
			}
		}
		if last != nil {
			yield(Row{}, last)
		}
	}
}

func TestSortedErrors(t *testing.T) {
	broken := errors.New("broken")
	row := Row{Event: point.Event{ID: "x"}}
	for _, err := range sortedBy(seqOf([]Row{row, row}, broken), 1) {
		if err != nil && !errors.Is(err, broken) {
			t.Errorf("%v, want %v", err, broken)
		}
	}
	t.Setenv("TMPDIR", "/nowhere")
	var last error
	for _, err := range sortedBy(seqOf([]Row{row, row}, nil), 1) {
		last = err
	}
	if !errors.Is(last, os.ErrNotExist) {
		t.Errorf("without a directory for temporary files: %v", last)
	}
}
