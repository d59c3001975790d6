package legallog

import (
	"time"

	"github.com/pec-milter/pec-milter/pec"
)

// months is how long the log is kept (RFC 6109 section 2.3, DM 2-11-2005 art. 11).
const months = 30

// retentionEnd is the first moment at which a row of a time may go: when 30
// months to the day, and that day itself, are over. Where the later month is too
// short for the day, its last day counts. The days are those of the legal time.
func retentionEnd(t time.Time) time.Time {
	t = pec.LegalTime(t)
	first := time.Date(t.Year(), t.Month()+months, 1, 0, 0, 0, 0, t.Location())
	last := first.AddDate(0, 1, -1)
	return first.AddDate(0, 0, min(t.Day(), last.Day()))
}

// over tells whether a row of a time may go.
func over(t, now time.Time) bool { return !now.Before(retentionEnd(t)) }

// cutoff is the time before which all rows may go.
func cutoff(now time.Time) time.Time {
	today := pec.LegalTime(now)
	day := time.Date(today.Year(), today.Month()-months, today.Day()+3, 0, 0, 0, 0, today.Location())
	for ; !over(day.Add(-time.Microsecond), now); day = day.AddDate(0, 0, -1) {
	}
	return day
}
