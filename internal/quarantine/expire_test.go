package quarantine

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/pec-milter/pec-milter/pec"
)

// legal is an instant of the legal time of Italy.
func legal(year int, month time.Month, day, hour, minute, second int) time.Time {
	return time.Date(year, month, day, hour, minute, second, 0, pec.LegalTime(noon).Location())
}

// TestExpire is case OP-11.
func TestExpire(t *testing.T) {
	for _, c := range []struct {
		name    string
		kept    time.Time
		now     time.Time
		removed int
	}{
		{"a day early", legal(2026, 3, 14, 0, 0, 0), legal(2028, 9, 13, 12, 0, 0), 0},
		{"30 months to the second", legal(2026, 3, 14, 23, 59, 59), legal(2028, 9, 14, 23, 59, 59), 0},
		{"a second later, midnight", legal(2026, 3, 14, 23, 59, 59), legal(2028, 9, 15, 0, 0, 0), 1},
		{"the same day's earliest", legal(2026, 3, 14, 0, 0, 0), legal(2028, 9, 15, 0, 0, 0), 1},
		{"31 August, February not over", legal(2025, 8, 31, 12, 0, 0), legal(2028, 2, 29, 23, 59, 59), 0},
		{"31 August, February over", legal(2025, 8, 31, 12, 0, 0), legal(2028, 3, 1, 0, 0, 0), 1},
		{"29 February", legal(2028, 2, 29, 12, 0, 0), legal(2030, 8, 29, 23, 59, 59), 0},
		{"29 February, over", legal(2028, 2, 29, 12, 0, 0), legal(2030, 8, 30, 0, 0, 0), 1},
		{"now in UTC, legal midnight not reached", legal(2026, 3, 14, 12, 0, 0), time.Date(2028, 9, 14, 21, 59, 59, 0, time.UTC), 0},
		{"now in UTC, legal midnight reached", legal(2026, 3, 14, 12, 0, 0), time.Date(2028, 9, 14, 22, 0, 0, 0, time.UTC), 1},
		{"the clock has gone back", legal(2026, 3, 14, 12, 0, 0), legal(1970, 1, 1, 0, 0, 0), 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			q := open(t)
			put(t, q, item(1, c.kept), "x")
			removed, err := q.Expire(t.Context(), c.now)
			if err != nil || removed != c.removed {
				t.Errorf("Expire() = %d, %v, want %d", removed, err, c.removed)
			}
			if got, want := len(listAll(t, q)), 1-c.removed; got != want {
				t.Errorf("List() gives %d messages, want %d", got, want)
			}
			if got := files(t, q); (len(got) == 0) != (c.removed == 1) {
				t.Errorf("files = %v after %d were removed", got, removed)
			}
		})
	}
}

// TestExpireKeepsTheRest: only what is over goes.
func TestExpireKeepsTheRest(t *testing.T) {
	q := open(t)
	for n := range 60 {
		put(t, q, item(n, noon.AddDate(0, 0, n)), "x")
	}
	removed, err := q.Expire(t.Context(), noon.AddDate(0, 30, 10))
	if err != nil || removed != 10 {
		t.Errorf("Expire() = %d, %v, want 10", removed, err)
	}
	var want []string
	for n := 10; n < 60; n++ {
		want = append(want, id(n))
	}
	if got := listAll(t, q); !reflect.DeepEqual(got, want) {
		t.Errorf("List() = %v, want %v", got, want)
	}
	if removed, err := q.Expire(t.Context(), noon.AddDate(0, 30, 10)); err != nil || removed != 0 {
		t.Errorf("Expire() again = %d, %v, want 0", removed, err)
	}
}

func TestExpireCancelled(t *testing.T) {
	q := open(t)
	put(t, q, item(1, noon), "x")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if removed, err := q.Expire(ctx, noon.AddDate(3, 0, 0)); !errors.Is(err, context.Canceled) || removed != 0 {
		t.Errorf("Expire() = %d, %v, want 0, %v", removed, err, context.Canceled)
	}
}

// TestExpireLeftovers: what a crash left half-written goes after a day; a
// message whose metadata it prevented is no message, and stays for its time.
func TestExpireLeftovers(t *testing.T) {
	q := open(t)
	put(t, q, item(1, noon), "x")
	half, orphan := filepath.Join(q.directory, ".put-123"), q.path(dayOf(noon), id(2)+".eml")
	for _, path := range []string{half, orphan} {
		if err := os.WriteFile(path, []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, noon, noon); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name         string
		now          time.Time
		removed      int
		half, orphan bool
	}{
		{"at once", noon, 0, true, true},
		{"after a day", noon.Add(leftover), 0, true, true},
		{"after more than a day", noon.Add(leftover + time.Second), 0, false, true},
		{"after 30 months", noon.AddDate(0, 30, 1), 1, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if removed, err := q.Expire(t.Context(), c.now); err != nil || removed != c.removed {
				t.Errorf("Expire() = %d, %v, want %d", removed, err, c.removed)
			}
			if got := exists(half); got != c.half {
				t.Errorf("half-written file there: %v, want %v", got, c.half)
			}
			if got := exists(orphan); got != c.orphan {
				t.Errorf("message without metadata there: %v, want %v", got, c.orphan)
			}
		})
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
