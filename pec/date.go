package pec

import (
	_ "embed" // the zone of legal time
	"fmt"
	"time"
)

// rome.tz is the compiled entry Europe/Rome of the IANA time zone database:
// embedded, so that a date does not depend on the machine.
//
//go:embed rome.tz
var romeData []byte

var rome = loadRome()

func loadRome() *time.Location {
	zone, err := time.LoadLocationFromTZData("Europe/Rome", romeData)
	if err != nil {
		panic("pec: embedded time zone: " + err.Error())
	}
	return zone
}

// LegalTime is the instant t in the legal time of Italy, to the second: what
// every date of a PEC message shows (RFC 6109 section 4.2).
func LegalTime(t time.Time) time.Time { return t.In(rome).Truncate(time.Second) }

// The three pieces of a user date (RFC 6109 section 4.2). QUIRK: the zone is
// written +0100, not (+01:00) as the RFC has it: so it is in all real messages.
const (
	dayLayout  = "02/01/2006"
	hourLayout = "15:04:05"
	zoneLayout = "-0700"
)

// readableDate begins every readable text.
func readableDate(t time.Time) string {
	t = LegalTime(t)
	return fmt.Sprintf("Il giorno %s alle ore %s (%s)", t.Format(dayLayout), t.Format(hourLayout), t.Format(zoneLayout))
}

// headerDate is the value of a Date field.
func headerDate(t time.Time) string { return LegalTime(t).Format("Mon, 2 Jan 2006 15:04:05 -0700") }

// parseDate reads data of the certification data.
func parseDate(day, hour, zone string) (time.Time, error) {
	return time.Parse(dayLayout+" "+hourLayout+" "+zoneLayout, day+" "+hour+" "+zone)
}
