package directory

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"time"
)

// trouble is what becomes of the mail while a list cannot be fetched.
type trouble int

const (
	noTrouble trouble = iota
	outdated          // a list at hand is current
	graced            // it has expired, and counts for a while
	blind             // none counts: 451
)

// period is how often it is told again. A list that is at hand may also be had
// from another place, always: that some place does not answer is told once a day.
func (t trouble) period() time.Duration {
	if t == outdated {
		return 24 * time.Hour
	}
	return time.Hour
}

// alarm tells that a list could not be fetched, and what that means: when it
// begins, when it gets worse or better, and again from time to time.
func (r *Revocations) alarm(p *distributionPoint, atHand []*x509.RevocationList, err error, now time.Time) {
	issuer, best, t := r.worst(p.issuers, atHand, now)
	if t == p.trouble && now.Sub(p.told) < t.period() {
		return
	}
	p.trouble, p.told = t, now
	log := r.log.With("url", p.url, "issuer", readableName(issuer), "error", err)
	if best != nil {
		log = log.With("age", now.Sub(best.ThisUpdate).Round(time.Second), "expires", best.NextUpdate)
	}
	switch t {
	case outdated:
		log.Warn("revocation list not fetched: the one at hand is used until it expires")
	case graced:
		log.Error("revocation list expired and not fetched: it is used until the grace is over",
			"over", best.NextUpdate.Add(r.config.Grace))
	case blind:
		log.Error("no current revocation list: the mail that needs it gets 451")
	}
}

// worst is the issuer whose lists at hand serve least, with the best of these.
func (r *Revocations) worst(issuers []string, atHand []*x509.RevocationList, now time.Time) (
	issuer string, best *x509.RevocationList, t trouble) {
	for _, i := range issuers {
		list := longest(i, atHand)
		if judged := r.judge(list, now); judged > t {
			issuer, best, t = i, list, judged
		}
	}
	return issuer, best, t
}

func (r *Revocations) judge(best *x509.RevocationList, now time.Time) trouble {
	switch {
	case best == nil, best.NextUpdate.Add(r.config.Grace).Before(now):
		return blind
	case best.NextUpdate.Before(now):
		return graced
	}
	return outdated
}

// longest is the list of an issuer that holds longest; nil: there is none.
func longest(issuer string, lists []*x509.RevocationList) (best *x509.RevocationList) {
	for _, list := range lists {
		if string(list.RawIssuer) == issuer && (best == nil || list.NextUpdate.After(best.NextUpdate)) {
			best = list
		}
	}
	return best
}

// readableName is a name in DER as people read it.
func readableName(der string) string {
	var names pkix.RDNSequence
	if _, err := asn1.Unmarshal([]byte(der), &names); err != nil {
		return fmt.Sprintf("%x", der)
	}
	return names.String()
}
