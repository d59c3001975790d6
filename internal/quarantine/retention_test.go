package quarantine

import (
	"testing"
	"time"
)

func date(t *testing.T, text string) time.Time {
	t.Helper()
	day, err := time.Parse(time.DateOnly, text)
	if err != nil {
		t.Fatal(err)
	}
	return day
}

// TestOver is case OP-11: the last day on which a message is kept.
func TestOver(t *testing.T) {
	for _, c := range []struct{ name, day, last string }{
		{"middle of a month", "2026-03-14", "2028-09-14"},
		{"first of a month", "2026-03-01", "2028-09-01"},
		{"end of a year", "2026-12-31", "2029-06-30"},
		{"31st to a month of 31", "2026-01-31", "2028-07-31"},
		{"31st to a month of 30", "2026-05-31", "2028-11-30"},
		{"31st to February", "2027-08-31", "2030-02-28"},
		{"31st to February of a leap year", "2025-08-31", "2028-02-29"},
		{"30th to February", "2027-08-30", "2030-02-28"},
		{"29th to February", "2027-08-29", "2030-02-28"},
		{"28th to February", "2027-08-28", "2030-02-28"},
		{"29 February", "2028-02-29", "2030-08-29"},
		{"28 February", "2027-02-28", "2029-08-28"},
		{"over a century that is no leap year", "2097-08-31", "2100-02-28"},
	} {
		t.Run(c.name, func(t *testing.T) {
			day, last := date(t, c.day), date(t, c.last)
			for offset, want := range map[int]bool{-1: false, 0: false, 1: true, 2: true} {
				today := last.AddDate(0, 0, offset)
				if got := over(day, today); got != want {
					t.Errorf("over(%s, %s) = %v, want %v", c.day, today.Format(time.DateOnly), got, want)
				}
			}
		})
	}
}

// TestOverNeverEarly: for each day of 30 years 30 months have passed, and not
// a day more, by another reckoning.
func TestOverNeverEarly(t *testing.T) {
	for day := date(t, "2020-01-01"); day.Year() < 2050; day = day.AddDate(0, 0, 1) {
		last := day
		for last.Year()*12+int(last.Month()) < day.Year()*12+int(day.Month())+months ||
			last.Day() < day.Day() && last.AddDate(0, 0, 1).Month() == last.Month() {
			last = last.AddDate(0, 0, 1)
		}
		if over(day, last) || !over(day, last.AddDate(0, 0, 1)) {
			t.Errorf("a message of %s is not kept until the end of %s", day.Format(time.DateOnly), last.Format(time.DateOnly))
		}
	}
}

func TestDayOf(t *testing.T) {
	for _, c := range []struct{ name, instant, want string }{
		{"winter, before midnight", "2026-01-14T22:59:59Z", "2026-01-14"},
		{"winter, midnight", "2026-01-14T23:00:00Z", "2026-01-15"},
		{"summer, before midnight", "2026-07-14T21:59:59Z", "2026-07-14"},
		{"summer, midnight", "2026-07-14T22:00:00Z", "2026-07-15"},
		{"from another zone", "2026-07-14T20:00:00-04:00", "2026-07-15"},
	} {
		t.Run(c.name, func(t *testing.T) {
			instant, err := time.Parse(time.RFC3339, c.instant)
			if err != nil {
				t.Fatal(err)
			}
			if got := dayOf(instant).Format(time.DateOnly); got != c.want {
				t.Errorf("dayOf(%s) = %s, want %s", c.instant, got, c.want)
			}
		})
	}
}
