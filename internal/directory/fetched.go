package directory

import (
	"context"
	"crypto/x509"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/pec-milter/pec-milter/pec"
)

// RevocationConfig says how revocation lists are fetched, and how long they
// count.
type RevocationConfig struct {
	// Cache is the directory in which fetched lists are kept, in files that are
	// named by the hash of their URL; empty: none is fetched.
	Cache string
	// Interval is how often a list is fetched again, at least.
	Interval time.Duration
	// Grace is how long a list counts after its nextUpdate: pec.Trust.
	Grace time.Duration
}

// Revocations adds to what a Source gives the revocation lists that are fetched
// from the distribution points (RFC 5280 section 4.2.1.13) of the certificates
// that the directory lists, and of the trusted authorities. No other certificate
// makes it ask anybody: whoever sends mail decides nothing (SG-22). It is safe
// for concurrent use, and fills point.Trust.
//
// They are fetched in the background and not when a message needs one: no
// message waits for a foreign server, and mail cannot make us ask one.
type Revocations struct {
	source *Source
	config RevocationConfig
	clock  func() time.Time
	log    *slog.Logger

	mu     sync.Mutex
	points map[string]*distributionPoint // by URL
	base   *pec.Trust                    // what trust was made of; nil: it must be made again
	trust  *pec.Trust
}

// OpenRevocations reads the lists that were fetched before. One that cannot be
// used is logged and left out.
func OpenRevocations(source *Source, config RevocationConfig, clock func() time.Time, log *slog.Logger) *Revocations {
	r := &Revocations{source: source, config: config, clock: clock, log: log, points: map[string]*distributionPoint{}}
	r.findPoints()
	return r
}

// Current is Source.Current with the lists that were fetched so far.
func (r *Revocations) Current() (*pec.Trust, error) {
	base, err := r.source.Current()
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if base != r.base {
		next := *base
		next.Revocations = slices.Concat(base.Revocations, r.lists())
		next.RevocationGrace = r.config.Grace
		r.base, r.trust = base, &next
	}
	return r.trust, nil
}

// lists are those that were fetched.
func (r *Revocations) lists() (lists []*x509.RevocationList) {
	for _, p := range r.points {
		if p.list != nil {
			lists = append(lists, p.list)
		}
	}
	return lists
}

// Unfetched are the distribution points of which there is no list, sorted; those
// that nobody can fetch from are left out.
func (r *Revocations) Unfetched() (urls []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for url, p := range r.points {
		if p.list == nil && p.due != never {
			urls = append(urls, url)
		}
	}
	slices.Sort(urls)
	return urls
}

// findPoints looks which distribution points there are now.
func (r *Revocations) findPoints() {
	if r.config.Cache == "" {
		return
	}
	wanted := wantedPoints(r.source.Providers(), r.source.Authorities(), r.clock())
	r.mu.Lock()
	defer r.mu.Unlock()
	for url, p := range wanted {
		if before := r.points[url]; before != nil {
			before.issuers = p.issuers
			continue
		}
		r.points[url] = p
		if _, err := checkURL(url); err != nil {
			r.log.Error("distribution point of a revocation list passed over: nobody fetches that", "url", url, "error", err)
			p.due = never
		} else if p.list, err = r.load(p); err != nil {
			r.log.Error("revocation list of an earlier time left out", "url", url, "file", r.cacheFile(url), "error", err)
		}
		r.base = nil
	}
	for url := range r.points {
		if wanted[url] == nil {
			delete(r.points, url)
			r.base = nil
		}
	}
}

// wantedPoints are the distribution points of all certificates that count: those
// of the directory, and those of authorities that are no roots, which are
// trusted as they are.
func wantedPoints(providers []*pec.Provider, authorities []*x509.Certificate, now time.Time) map[string]*distributionPoint {
	certificates := slices.DeleteFunc(slices.Clone(authorities), isSelfSigned)
	for _, p := range providers {
		certificates = append(certificates, p.Certificates...)
	}
	points := map[string]*distributionPoint{}
	for _, c := range certificates {
		if now.After(c.NotAfter) {
			continue // nothing hangs on it any more, and its server may be gone
		}
		for _, url := range c.CRLDistributionPoints {
			p := points[url]
			if p == nil {
				p = &distributionPoint{url: url}
				points[url] = p
			}
			if issuer := string(c.RawIssuer); !slices.Contains(p.issuers, issuer) {
				p.issuers = append(p.issuers, issuer)
			}
		}
	}
	return points
}

// Run fetches the lists until ctx is done: each before it expires, and as often
// as the configuration says. It returns at once if nothing is to be fetched.
func (r *Revocations) Run(ctx context.Context) {
	if r.config.Cache == "" {
		return
	}
	ticker := time.NewTicker(min(r.config.Interval, lookPeriod))
	defer ticker.Stop()
	for ctx.Err() == nil {
		r.findPoints()
		r.fetchDue(ctx)
		select {
		case <-ctx.Done():
		case <-ticker.C:
		}
	}
}

const (
	// lookPeriod is how often it is looked what is due: a provider that is new in
	// the directory waits no longer for its list.
	lookPeriod = time.Minute
	// maxFetches is how many are fetched at once: some servers only hang.
	maxFetches = 4
)

// fetchDue fetches all that is due, and returns when it is done.
func (r *Revocations) fetchDue(ctx context.Context) {
	var all sync.WaitGroup
	places := make(chan struct{}, maxFetches)
	for p, issuers := range r.due() {
		places <- struct{}{}
		all.Go(func() {
			defer func() { <-places }()
			r.fetch(ctx, p, issuers)
		})
	}
	all.Wait()
}

// due are the points from which a list must be fetched now, with their issuers.
func (r *Revocations) due() map[*distributionPoint][]string {
	now := r.clock()
	r.mu.Lock()
	defer r.mu.Unlock()
	due := map[*distributionPoint][]string{}
	for _, p := range r.points {
		if !p.due.After(now) {
			due[p] = p.issuers
		}
	}
	return due
}
