package config

import (
	"net/url"
	"path/filepath"
	"time"
)

// LegalLog is how the legal log is sealed: `docs/legallog.md` has the files.
type LegalLog struct {
	// Directory: path. Directory of the sealed files, made if it is not there. Without
	// it: `legal-log` beside **file** of **[state]**.
	Directory string `toml:"directory"`
	// Anchors: path of the file to which the head of the log is appended every minute.
	// Without it: **file** of **[state]** with `-anchors` behind its name.
	Anchors string `toml:"anchors"`
	// MaxRows: whole number, at least 1. The most rows of one sealed file; so many are
	// sealed before the day is over.
	MaxRows int64 `toml:"max_rows"`
	// Late: duration, at least `"25h"`. After which time it is an error in the daemon's
	// log that rows are not sealed, or that a seal has no time stamp.
	Late Duration `toml:"late"`
	// TSA: URL of the time-stamping authority (RFC 3161), http or https. Without it the
	// seals get no time stamp, which the law asks for.
	TSA string `toml:"tsa"`
	// TSACA: path of a PEM file, required with **tsa**. The authorities that the
	// certificate of the stamps must lead to. Keep those of old stamps in it.
	TSACA string `toml:"tsa_ca"`
	// TSAPolicy: object identifier, as `"1.3.6.1.4.1.1"`. The policy to ask for; a stamp
	// of another one is refused. Without it any is taken.
	TSAPolicy OID `toml:"tsa_policy"`
}

// resolve fills in the paths that were not given.
func (l *LegalLog) resolve(stateFile string) {
	if l.Directory == "" && stateFile != "" {
		l.Directory = filepath.Join(filepath.Dir(stateFile), "legal-log")
	}
	if l.Anchors == "" && stateFile != "" {
		l.Anchors = stateFile + "-anchors"
	}
}

// leastLate is the law's day, and some time to seal it in.
const leastLate = 25 * time.Hour

func (l *LegalLog) validate(f *faults) {
	if l.MaxRows < 1 {
		f.add("legal_log.max_rows", "%d is no number of rows: write at least 1", l.MaxRows)
	}
	if l.Late.fault != nil {
		f.add("legal_log.late", "%v", l.Late.fault)
	} else if l.Late.Duration < leastLate {
		f.add("legal_log.late", "%v is too short: the log is sealed once a day; write at least %v", l.Late.Duration, leastLate)
	}
	if l.TSA != "" {
		if at, err := url.Parse(l.TSA); err != nil || at.Scheme != "http" && at.Scheme != "https" || at.Host == "" {
			f.add("legal_log.tsa", "%q is no address: write it as http://host/path or https://host/path", l.TSA)
		}
		f.required("legal_log.tsa_ca", l.TSACA)
	}
	if l.TSAPolicy.fault != nil {
		f.add("legal_log.tsa_policy", "%v", l.TSAPolicy.fault)
	}
	if l.TSA == "" && (l.TSACA != "" || l.TSAPolicy.Numbers != nil) {
		f.add("legal_log.tsa", "is missing: give it, or remove the other keys of the authority")
	}
}
