//go:build integration

package integration

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"
)

// wantedFaults are the numbers of the rows that are asked for, longest first:
// the last ones should not have to wait for one.
func wantedFaults(backend string, onSendmail bool) (wanted []int) {
	only := os.Getenv("FAULTS")
	for n, f := range faults() {
		if (allFaults || f.short) && (f.on == "" || f.on == backend) && !(f.postfix && onSendmail) && (only == "" || strings.Contains(","+only+",", ","+f.point+",")) {
			wanted = append(wanted, n)
		}
	}
	slices.SortStableFunc(wanted, func(a, b int) int { return cmp.Compare(faults()[b].long, faults()[a].long) })
	return wanted
}

// work tries row after row, until none is left or its world is past mending.
func (s *faultStage) work(t *testing.T, queue <-chan int, table *faultTable) {
	for n := range queue {
		f := faults()[n]
		if end, limited := t.Deadline(); limited && time.Until(end) < time.Minute || s.hopeless || s.stopped.Err() != nil {
			t.Errorf("%s, %s: not tried, for no time or no world is left", f.point, f.what) // the table is worth more than a panic
			continue
		}
		t.Run(fmt.Sprintf("%s-%s-%d", s.name, f.point, n), func(t *testing.T) {
			row, err := s.try(t, n, f)
			table.add(n, row)
			t.Log(row)
			if err != nil {
				t.Error(err)
			}
		})
	}
}

// faultTable is what TestFaults prints: a row for each fault, in their order.
type faultTable struct {
	mu   sync.Mutex
	rows map[int]string
}

func (f *faultTable) add(n int, row string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rows[n] = row
}

func (f *faultTable) String() string {
	var text strings.Builder
	out := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	fmt.Fprintln(out, "point\twhat\tmessages\tfaults\tlost\tnotice without message\tmessage without notice\tvisible duplicates\t(foreign)\tother\tseconds")
	for _, n := range slices.Sorted(maps.Keys(f.rows)) {
		fmt.Fprintln(out, f.rows[n])
	}
	out.Flush()
	return text.String()
}
