package quarantine

import "time"

// months is how long an infected message is kept (RFC 6109 section 2.2.4, DM
// 2-11-2005).
const months = 30

// Here a day is midnight UTC of a date, whatever the zone the date is of.

// over tells whether the messages of a day may go today: when 30 months to the
// day, and that day itself, are over.
func over(day, today time.Time) bool { return today.After(addMonths(day, months)) }

// addMonths is the same day of a later month; where that month is too short,
// its last day.
func addMonths(day time.Time, n int) time.Time {
	first := time.Date(day.Year(), day.Month()+time.Month(n), 1, 0, 0, 0, 0, time.UTC)
	last := first.AddDate(0, 1, -1)
	return first.AddDate(0, 0, min(day.Day(), last.Day())-1)
}
