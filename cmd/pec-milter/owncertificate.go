package main

import (
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/pec-milter/pec-milter/internal/point"
	"github.com/pec-milter/pec-milter/pec"
)

// ownCertificate watches the signing certificate: whether there is a new one, and
// whether it is time to get one.
type ownCertificate struct {
	signer interface {
		point.Signer
		Refresh(accept func([]*x509.Certificate) error) (changed bool, err error)
	}
	// accept tells why a new certificate may not be used at a time; nil: it may.
	accept func(chain []*x509.Certificate, now time.Time) error
	logger *slog.Logger

	refused string    // why the new one was refused, as it was told
	toldOf  time.Time // when that was
	left    validity  // as it was told
	told    time.Time // when that was
}

// validity is how long the certificate is still good for.
type validity int

const (
	longValid validity = iota
	validFor60
	validFor30
	validFor7
	notValid
)

const day = 24 * time.Hour

func validityAt(c *x509.Certificate, now time.Time) validity {
	switch left := c.NotAfter.Sub(now); {
	case left < 0, now.Before(c.NotBefore):
		return notValid
	case left <= 7*day:
		return validFor7
	case left <= 30*day:
		return validFor30
	case left <= 60*day:
		return validFor60
	}
	return longValid
}

// look is called every minute.
func (o *ownCertificate) look(now time.Time) {
	o.refresh(now)
	_, chain, err := o.signer.Current()
	if err != nil {
		return // the doors say so
	}
	o.tellValidity(chain[0], now)
}

// refresh takes a new certificate, or says why not: when the reason changes, and
// every hour.
func (o *ownCertificate) refresh(now time.Time) {
	changed, err := o.signer.Refresh(func(chain []*x509.Certificate) error { return o.accept(chain, now) })
	if err == nil {
		o.refused = ""
	} else if reason := err.Error(); reason != o.refused || now.Sub(o.toldOf) >= time.Hour {
		o.refused, o.toldOf = reason, now
		o.logger.Error("new signing certificate or key refused, the old ones stay in use", "error", err)
	}
	if _, chain, failed := o.signer.Current(); changed && failed == nil {
		o.logger.Info("signing certificate read again", "serial", chain[0].SerialNumber.Text(16), "valid_until", chain[0].NotAfter,
			"earlier", len(o.signer.Earlier()))
	}
}

// tellValidity tells once a day that the certificate ends soon, and every hour
// that it has ended.
func (o *ownCertificate) tellValidity(c *x509.Certificate, now time.Time) {
	v, period := validityAt(c, now), day
	if v == notValid {
		period = time.Hour
	}
	if v == longValid || v == o.left && now.Sub(o.told) < period {
		o.left = v
		return
	}
	o.left, o.told = v, now
	log := o.logger.With("serial", c.SerialNumber.Text(16), "valid_from", c.NotBefore, "valid_until", c.NotAfter,
		"days_left", int(c.NotAfter.Sub(now)/day))
	switch v {
	case validFor60:
		log.Warn("signing certificate expires within 60 days: order the new one")
	case validFor30:
		log.Error("signing certificate expires within 30 days: the new one must be in the providers directory now")
	case validFor7:
		log.Error("signing certificate expires within 7 days: nothing is certified after that")
	case notValid:
		log.Error("signing certificate is not valid: everything gets 451 until there is a new one")
	}
}

// ownCertificate is that of the services.
func (s *services) ownCertificate() *ownCertificate {
	return &ownCertificate{signer: s.signer, logger: s.provider.Logger, accept: func(chain []*x509.Certificate, now time.Time) error {
		return acceptCertificate(s.provider, chain, now)
	}}
}

// acceptCertificate judges a new signing certificate as other providers would: it
// takes the place of one that works. That no revocation list tells of it says
// nothing against it.
func acceptCertificate(p *point.Provider, chain []*x509.Certificate, now time.Time) error {
	if err := checkCertificate(p, chain); err != nil {
		return err
	}
	if validityAt(chain[0], now) == notValid {
		return fmt.Errorf("the certificate is valid from %s to %s", chain[0].NotBefore.Format(time.RFC3339), chain[0].NotAfter.Format(time.RFC3339))
	}
	trust, err := p.Trust.Current()
	if err != nil {
		return err
	}
	_, err = trust.Provider(&pec.Signature{Certificate: chain[0], Certificates: chain[1:]}, now)
	if errors.Is(err, pec.ErrRevocationUnknown) {
		return nil
	}
	return err
}
