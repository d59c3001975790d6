package metrics

import (
	"context"
	"crypto/x509"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pec-milter/pec-milter/internal/point"
)

var (
	directoryAge = gauge("directory_age_seconds", "Age of the providers directory in use, since it was written.")
	listAge      = gauge("revocation_list_age_seconds", "Age of the revocation list in use, by the authority that issued it.", "issuer")
	listLeft     = gauge("revocation_list_left_seconds", "How long the revocation list in use is still valid, by the authority that issued it; below 0 it has expired.", "issuer")
	antivirusUp  = gauge("antivirus_up", "1 if clamd answers, else 0. Not there with antivirus = \"none\".")
	antivirusAge = gauge("antivirus_base_age_seconds", "Age of clamd's base of signatures.")

	unsealedAge  = gauge("unsealed_age_seconds", "Age of the oldest row of the legal log that is not sealed; 0: all are.")
	unsealedRows = gauge("unsealed_rows", "About how many rows of the legal log are not sealed.")
	sealAge      = gauge("seal_age_seconds", "Age of the last seal of the legal log. Not there before the first.")
	unstampedAge = gauge("unstamped_age_seconds", "Age of the oldest seal of the legal log without a time stamp; 0: all have one.")

	pending = gauge("pending_recipients", "Recipients of our messages of whom nothing final is known, by the deadline that comes next: 12h, 24h, or passed. "+
		"Of the whole provider: all nodes tell the same.", "deadline")
	certificateLeft = gauge("certificate_left_seconds", "How long the signing certificate is still valid; below 0 it has expired.")
	clockOffset     = gauge("clock_offset_seconds", "How wrong the clock is at most, as its NTP daemon thinks. Not there without a daemon.")
	clockKept       = gauge("clock_kept", "1 if a daemon keeps the clock, else 0.")
)

func gauge(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("pec_milter_"+name, help, labels, nil)
}

// State is how a daemon is asked for what it does not count. The answers must be
// cheap, and whoever cannot answer leaves its metrics out. Antivirus is nil where
// there is none; all else must be there.
type State struct {
	Now         point.Clock
	Directory   func() time.Time // when the providers directory in use was written
	Revocations func() ([]*x509.RevocationList, error)
	Antivirus   func(context.Context) (base time.Time, err error)
	Seal        func() (s Seal, known bool)
	Pending     func(ctx context.Context, now time.Time) (Pending, error)
	Certificate func() (*x509.Certificate, error)
	Tokens      func() []Token // none with a key file
	Clock       func() (offset time.Duration, kept bool, err error)
}

// Seal is how far the sealing of the legal log is behind.
type Seal struct {
	Unsealed  time.Time // when the oldest rows that are not sealed were written; zero: all are
	Sealed    time.Time // when the last seal was made; zero: there is none
	Unstamped time.Time // when the oldest seal without a time stamp was made; zero: all have one
	Rows      int64     // about how many rows are not sealed
}

// Pending counts recipients that are waited for.
type Pending struct {
	First  int64 // before 12 hours
	Last   int64 // before 24 hours
	Passed int64 // over 24 hours
}

// askTime bounds what asks another server: a scrape takes a few seconds at most.
const askTime = 2 * time.Second

// scrape is the collector of a State.
type scrape struct{ *State }

// Describe tells of all metrics.
func (s *scrape) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		directoryAge, listAge, listLeft, antivirusUp, antivirusAge, unsealedAge, unsealedRows, sealAge, unstampedAge,
		pending, certificateLeft, clockOffset, clockKept,
		tokenOpen, tokenSigns, tokenSessions, tokenInUse, tokenWaiting, tokenLosses,
	} {
		to <- d
	}
}

// Collect asks for all of them.
func (s *scrape) Collect(to chan<- prometheus.Metric) {
	tell := func(d *prometheus.Desc, value float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	ctx, cancel := context.WithTimeout(context.Background(), askTime)
	defer cancel()
	now := s.Now()
	tell(directoryAge, now.Sub(s.Directory()).Seconds())
	s.collectLists(tell, now)
	s.collectAntivirus(ctx, tell, now)
	s.collectSeal(tell, now)
	s.collectTokens(to, tell)
	if p, err := s.Pending(ctx, now); err == nil {
		tell(pending, float64(p.First), "12h")
		tell(pending, float64(p.Last), "24h")
		tell(pending, float64(p.Passed), "passed")
	}
	if c, err := s.Certificate(); err == nil {
		tell(certificateLeft, c.NotAfter.Sub(now).Seconds())
	}
	if offset, kept, err := s.Clock(); err == nil {
		tell(clockKept, boolean(kept))
		if kept {
			tell(clockOffset, offset.Seconds())
		}
	}
}

type tellFunc func(d *prometheus.Desc, value float64, labels ...string)

// collectLists tells of the list of each authority that is valid longest.
func (s *scrape) collectLists(tell tellFunc, now time.Time) {
	lists, err := s.Revocations()
	if err != nil {
		return
	}
	best := map[string]*x509.RevocationList{}
	for _, list := range lists {
		name := list.Issuer.String()
		if known := best[name]; known == nil || list.NextUpdate.After(known.NextUpdate) {
			best[name] = list
		}
	}
	for name, list := range best {
		tell(listAge, now.Sub(list.ThisUpdate).Seconds(), name)
		tell(listLeft, list.NextUpdate.Sub(now).Seconds(), name)
	}
}

func (s *scrape) collectAntivirus(ctx context.Context, tell tellFunc, now time.Time) {
	if s.Antivirus == nil {
		return
	}
	base, err := s.Antivirus(ctx)
	tell(antivirusUp, boolean(err == nil))
	if err == nil && !base.IsZero() {
		tell(antivirusAge, now.Sub(base).Seconds())
	}
}

func (s *scrape) collectSeal(tell tellFunc, now time.Time) {
	seal, known := s.Seal()
	if !known {
		return
	}
	tell(unsealedAge, since(seal.Unsealed, now))
	tell(unsealedRows, float64(seal.Rows))
	tell(unstampedAge, since(seal.Unstamped, now))
	if !seal.Sealed.IsZero() {
		tell(sealAge, since(seal.Sealed, now))
	}
}

// since is the age of a time in seconds; 0 for none.
func since(t, now time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return now.Sub(t).Seconds()
}

func boolean(is bool) float64 {
	if is {
		return 1
	}
	return 0
}
