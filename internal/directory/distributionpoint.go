package directory

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// distributionPoint is a URL, and what was fetched from it. Revocations.mu
// guards it.
type distributionPoint struct {
	url     string
	issuers []string             // the subjects, in DER, of the authorities whose list it has
	list    *x509.RevocationList // nil: none yet
	due     time.Time            // when it is fetched next; zero: now
	trouble trouble              // what was told of it last
	told    time.Time
}

// never is when nothing is fetched: longer than any certificate holds.
var never = time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)

// retryAfter is how soon it is tried again what could not be fetched, and how
// often at most a list is fetched.
const retryAfter = 5 * time.Minute

// skew is how much the clock of an authority may be ahead of ours.
const skew = time.Minute

// fetch fetches one list. What cannot be used counts as not fetched: the list at
// hand stays (SG-19, SG-21).
func (r *Revocations) fetch(ctx context.Context, p *distributionPoint, issuers []string) {
	list, err := r.get(ctx, p.url, issuers)
	if ctx.Err() != nil {
		return // we are stopping
	}
	trust, tooOld := r.Current()
	now := r.clock()
	r.mu.Lock()
	defer r.mu.Unlock()
	if err == nil {
		err = p.checkTime(list, now)
	}
	retry := min(retryAfter, r.config.Interval)
	if err != nil {
		p.due = now.Add(retry)
		if tooOld == nil { // otherwise all mail gets 451, and the doors say why
			r.alarm(p, trust.Revocations, err, now)
		}
		return
	}
	// Half of the time that is left: short-lived lists are fetched more often.
	p.due = now.Add(max(retry, min(r.config.Interval, list.NextUpdate.Sub(now)/2)))
	r.keep(p, list)
}

// get fetches a list of one of these issuers. What foreign servers send must not
// end the daemon, whatever the parsers make of it.
func (r *Revocations) get(ctx context.Context, url string, issuers []string) (list *x509.RevocationList, err error) {
	defer func() {
		if p := recover(); p != nil {
			list, err = nil, fmt.Errorf("panic: %v", p)
		}
	}()
	data, err := fetch(ctx, url)
	if err != nil {
		return nil, err
	}
	return readFetched(data, issuers, r.source.Authorities())
}

// keep puts a list in the place of the one before.
func (r *Revocations) keep(p *distributionPoint, list *x509.RevocationList) {
	if p.trouble != noTrouble {
		r.log.Info("revocation list fetched again", "url", p.url, "issuer", list.Issuer.String(), "until", list.NextUpdate)
		p.trouble = noTrouble
	}
	if p.list != nil && bytes.Equal(p.list.Raw, list.Raw) {
		return
	}
	r.log.Info("new revocation list", "url", p.url, "issuer", list.Issuer.String(), "number", list.Number,
		"of", list.ThisUpdate, "until", list.NextUpdate, "revoked", len(list.RevokedCertificateEntries))
	p.list, r.base = list, nil
	if err := writeFile(r.cacheFile(p.url), list.Raw); err != nil {
		r.log.Error("revocation list not kept on the disk: it is lost at the next start", "url", p.url, "error", err)
	}
}

// readFetched reads a list that a distribution point may have: one whole list of
// one of the issuers of the certificates that name the point, signed by a trusted
// authority.
func readFetched(data []byte, issuers []string, authorities []*x509.Certificate) (*x509.RevocationList, error) {
	lists, err := parseRevocations(data)
	if err != nil {
		return nil, fmt.Errorf("it is no revocation list that can be used: %w", err)
	}
	if len(lists) != 1 {
		return nil, fmt.Errorf("there are %d lists in it, not one", len(lists))
	}
	list := lists[0]
	if !slices.Contains(issuers, string(list.RawIssuer)) {
		return nil, fmt.Errorf("it is a list of %q, whose certificates do not name this place", list.Issuer)
	}
	err = fmt.Errorf("the certificate of %q is not in directory.roots", list.Issuer)
	for _, a := range authorities {
		if !bytes.Equal(a.RawSubject, list.RawIssuer) {
			continue
		}
		if err = list.CheckSignatureFrom(a); err == nil {
			return list, nil
		}
	}
	return nil, fmt.Errorf("its signature cannot be verified: %w", err)
}

// checkTime refuses a list that is not current, or that would take us back.
func (p *distributionPoint) checkTime(list *x509.RevocationList, now time.Time) error {
	switch {
	case list.NextUpdate.IsZero():
		return errors.New("it does not say how long it holds")
	case list.NextUpdate.Before(now):
		return fmt.Errorf("it expired on %s", list.NextUpdate.Format(time.RFC3339))
	case list.ThisUpdate.After(now.Add(skew)):
		return fmt.Errorf("it is of %s, which is to come", list.ThisUpdate.Format(time.RFC3339))
	case p.list != nil && list.ThisUpdate.Before(p.list.ThisUpdate):
		return fmt.Errorf("it is of %s, older than the one at hand", list.ThisUpdate.Format(time.RFC3339))
	}
	return nil
}

// cacheFile is where a list is kept: a name of fixed length, whatever the URL.
func (r *Revocations) cacheFile(url string) string {
	sum := sha256.Sum256([]byte(url))
	return filepath.Join(r.config.Cache, hex.EncodeToString(sum[:])+".crl")
}

// load reads what was fetched before; nil where nothing was. It may have expired
// since.
func (r *Revocations) load(p *distributionPoint) (*x509.RevocationList, error) {
	data, err := readFile(r.cacheFile(p.url), maxRevocations)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return readFetched(data, p.issuers, r.source.Authorities())
}

// writeFile writes a file whole or not at all.
func writeFile(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}
