package directory

import (
	"crypto/x509"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/pec-milter/pec-milter/pec"
)

// Config names the files. All of them may be replaced while they are in use,
// best by renaming a finished file into place.
type Config struct {
	LDIF        string   // the providers directory (RFC 6109 section 4.5.10)
	Roots       string   // a directory: PEM files of all trusted authorities, historic ones included
	Revocations []string // revocation lists, PEM or DER, at most 20 MiB each

	// SHA1Until is pec.Trust.SHA1Until.
	SHA1Until time.Time
	// Own is who we are: a new directory that gives our domains to another is refused.
	Own Own
	// MaxAge is how old the directory may be, by its time of modification and Clock,
	// before Current gives ErrTooOld; 0: any age.
	MaxAge time.Duration
	Clock  func() time.Time
}

// Source gives the trust that the files hold now. It is safe for concurrent
// use, and fills point.Trust.
type Source struct {
	config Config
	log    *slog.Logger

	mu        sync.Mutex
	seen      sighting
	directory *Directory
	known     []*x509.Certificate // the trusted authorities
	written   time.Time           // when the directory in use was written
	told      map[string]bool     // faults of the version that was read last
	trust     *pec.Trust
}

// sighting is what the files looked like when they were last read.
type sighting struct {
	ldif, roots, revocations snapshot
}

// Open reads all files. A providers directory or authorities that cannot be
// used are an error; a revocation list is not: it is logged and left out. What
// was left out of the directory is logged too.
func Open(config Config, log *slog.Logger) (*Source, error) {
	s := &Source{config: config, log: log, seen: config.look()}
	directory, err := s.readDirectory()
	if err != nil {
		return nil, fmt.Errorf("providers directory: %w", err)
	}
	authorities, err := s.readAuthorities()
	if err != nil {
		return nil, fmt.Errorf("trusted authorities: %w", err)
	}
	s.directory, s.known, s.written = directory, authorities.all, s.seen.ldif.modified()
	s.trust = &pec.Trust{
		Directory:     directory,
		Roots:         authorities.roots,
		Intermediates: authorities.intermediates,
		Revocations:   s.readRevocations(),
		SHA1Until:     config.SHA1Until,
	}
	return s, nil
}

// Current is what the files hold now; the value does not change afterwards. A
// new version of the providers directory or of the authorities that is bad,
// missing, empty, or of the directory one with less than a tenth of the records or
// in which another has a domain of ours, is refused with a line in the log and the
// old one stays; opening anew takes it. Revocation lists are those that can be read now, however old.
// The only error is ErrTooOld.
func (s *Source) Current() (*pec.Trust, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refresh()
	if err := s.checkAge(); err != nil {
		return nil, err
	}
	return s.trust, nil
}

// Providers are all records of the directory as it is now, in the order of the
// file. The caller changes none of them.
func (s *Source) Providers() []*pec.Provider {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refresh()
	return s.directory.Providers()
}

// Authorities are the certificates of all trusted authorities, as they are now.
func (s *Source) Authorities() []*x509.Certificate {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refresh()
	return slices.Clone(s.known)
}

// refresh reads again what has changed. The files were looked at before they
// are read: one that changes meanwhile is read once more the next time.
func (s *Source) refresh() {
	now := s.config.look()
	if now.equal(s.seen) {
		return
	}
	next := *s.trust
	if !now.ldif.equal(s.seen.ldif) {
		s.refreshDirectory(now.ldif.modified())
		next.Directory = s.directory
	}
	if !now.roots.equal(s.seen.roots) {
		s.refreshAuthorities(&next)
	}
	if !now.revocations.equal(s.seen.revocations) {
		next.Revocations = s.readRevocations()
		s.log.Info("revocation lists read again", "lists", len(next.Revocations))
	}
	s.seen, s.trust = now, &next
}

func (s *Source) refreshDirectory(written time.Time) {
	directory, err := s.readDirectory()
	if err == nil {
		err = checkNew(s.directory, directory, s.config.Own)
	}
	if err != nil {
		s.log.Error("new providers directory refused, the old one stays in use", "error", err)
		return
	}
	s.logChange(s.directory, directory)
	s.directory, s.written = directory, written
}

// checkShrinking refuses a directory that lost nine records of ten: more likely
// the file is wrong than the providers gone.
func checkShrinking(old, now int) error {
	if now*10 <= old {
		return fmt.Errorf("only %d of %d records are left: if that is right, start again; where pec-milter fetches it, "+
			"after directory sync --force", now, old)
	}
	return nil
}

func (s *Source) refreshAuthorities(next *pec.Trust) {
	authorities, err := s.readAuthorities()
	if err != nil {
		s.log.Error("new trusted authorities refused, the old ones stay in use", "error", err)
		return
	}
	s.known = authorities.all
	next.Roots, next.Intermediates = authorities.roots, authorities.intermediates
	s.log.Info("trusted authorities read again", "directory", s.config.Roots)
}

func (s *Source) readDirectory() (*Directory, error) {
	f, err := os.Open(s.config.LDIF)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	directory, faults, err := ReadLDIF(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.config.LDIF, err)
	}
	s.logFaults(faults)
	return directory, nil
}

// logFaults tells what was not told of the version before: a directory is written
// anew with each fetch.
func (s *Source) logFaults(faults []*Fault) {
	told := make(map[string]bool, len(faults))
	for _, fault := range faults {
		text := fault.DN + "\x00" + fault.Err.Error()
		told[text] = true
		if !s.told[text] {
			s.log.Warn("providers directory: something is wrong with a record",
				"file", s.config.LDIF, "line", fault.Line, "dn", fault.DN, "error", fault.Err)
		}
	}
	s.told = told
}

func (s *Source) readAuthorities() (*authorities, error) {
	authorities, faults, err := readAuthorities(s.config.Roots)
	for _, fault := range faults {
		s.log.Warn("trusted authorities: a certificate is left out", "error", fault)
	}
	return authorities, err
}

func (s *Source) readRevocations() []*x509.RevocationList {
	lists, faults := readRevocations(s.config.Revocations)
	for _, fault := range faults {
		s.log.Error("revocation list left out", "error", fault)
	}
	return lists
}

// logChange tells the operator what a new directory changes. A domain that
// changes hands is what somebody who tampers with the file would want.
func (s *Source) logChange(old, now *Directory) {
	s.log.Info("providers directory read again", "records", len(now.providers), "records_before", len(old.providers),
		"domains", len(now.byDomain), "domains_before", len(old.byDomain))
	logRecords(s.log, Compare(old, now))
	type move struct{ from, to string }
	moves := make(map[move][]string)
	for domain, provider := range now.byDomain {
		if before := old.byDomain[domain]; before != nil && before.Name != provider.Name {
			m := move{before.Name, provider.Name}
			moves[m] = append(moves[m], domain)
		}
	}
	for m, domains := range moves {
		s.log.Warn("domains have another provider", "domains", len(domains), "one", domains[0], "from", m.from, "to", m.to)
	}
}

func (c Config) look() sighting {
	return sighting{ldif: look(c.LDIF), roots: lookInto(c.Roots), revocations: look(c.Revocations...)}
}

func (s sighting) equal(t sighting) bool {
	return s.ldif.equal(t.ldif) && s.roots.equal(t.roots) && s.revocations.equal(t.revocations)
}
