package config

import (
	"net/url"
	"path/filepath"
	"time"
)

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
