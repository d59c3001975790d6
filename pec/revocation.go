package pec

import (
	"bytes"
	"cmp"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"
	"time"
)

// checkRevocation looks for a chain of which no certificate is revoked. A
// signer that is revoked is so in every chain; of an authority, another chain
// may lead through one that is not.
func (t *Trust) checkRevocation(chains [][]*x509.Certificate, at time.Time) error {
	var unknown, revoked error
	for _, chain := range chains {
		depth, err := t.checkChain(chain, at)
		switch {
		case err == nil:
			return nil
		case !errors.Is(err, ErrRevoked):
			unknown = err
		case depth == 0:
			return err
		default:
			revoked = err
		}
	}
	return cmp.Or(unknown, revoked)
}

// checkChain checks all certificates of a chain but the root, which is trusted
// as it is. depth is where the error is; the signer's is 0.
func (t *Trust) checkChain(chain []*x509.Certificate, at time.Time) (depth int, err error) {
	for depth := range len(chain) - 1 {
		if err := t.checkCertificate(chain[depth], chain[depth+1], at); err != nil {
			return depth, err
		}
	}
	return 0, nil
}

// checkCertificate looks a certificate up in the newest revocation list of its
// issuer (RFC 5280 section 6.3).
func (t *Trust) checkCertificate(c, issuer *x509.Certificate, at time.Time) error {
	for _, list := range t.listsFor(c, at) {
		if list.CheckSignatureFrom(issuer) != nil {
			continue
		}
		for i := range list.RevokedCertificateEntries {
			entry := &list.RevokedCertificateEntries[i]
			if entry.SerialNumber.Cmp(c.SerialNumber) == 0 {
				return &RevokedError{c, entry.RevocationTime}
			}
		}
		return nil
	}
	return fmt.Errorf("%w: of %s, at %s; it must be fetched anew", ErrRevocationUnknown, issuer.Subject, at.Format(time.RFC3339))
}

// listsFor are the lists that may tell of a certificate at a time, the newest
// first. Their signatures are not checked.
func (t *Trust) listsFor(c *x509.Certificate, at time.Time) []*x509.RevocationList {
	var lists []*x509.RevocationList
	for _, list := range t.Revocations {
		current := !list.ThisUpdate.After(at.Add(skew)) && !list.NextUpdate.Add(t.RevocationGrace).Before(at)
		if current && bytes.Equal(list.RawIssuer, c.RawIssuer) && covers(list, c) {
			lists = append(lists, list)
		}
	}
	slices.SortStableFunc(lists, func(a, b *x509.RevocationList) int { return b.ThisUpdate.Compare(a.ThisUpdate) })
	return lists
}

var oidIssuingDistributionPoint = asn1.ObjectIdentifier{2, 5, 29, 28}

// issuingDistributionPoint tells which certificates a list is about, RFC 5280
// section 5.2.5.
type issuingDistributionPoint struct {
	Point struct {
		FullName     []asn1.RawValue `asn1:"optional,tag:0"`
		RelativeName asn1.RawValue   `asn1:"optional,tag:1"`
	} `asn1:"optional,tag:0"`
	OnlyUsers       bool           `asn1:"optional,tag:1"`
	OnlyAuthorities bool           `asn1:"optional,tag:2"`
	SomeReasons     asn1.BitString `asn1:"optional,tag:3"`
	Indirect        bool           `asn1:"optional,tag:4"`
	OnlyAttributes  bool           `asn1:"optional,tag:5"`
}

// covers tells whether a list is complete for a certificate: an authority may
// spread its certificates over several lists. A list with a critical extension
// that is not known here, as a delta list has, covers nothing.
func covers(list *x509.RevocationList, c *x509.Certificate) bool {
	for _, extension := range list.Extensions {
		switch {
		case extension.Id.Equal(oidIssuingDistributionPoint):
			var scope issuingDistributionPoint
			rest, err := asn1.Unmarshal(extension.Value, &scope)
			if err != nil || len(rest) > 0 || !scope.includes(c) {
				return false
			}
		case extension.Critical:
			return false
		}
	}
	return true
}

func (s *issuingDistributionPoint) includes(c *x509.Certificate) bool {
	switch {
	case s.OnlyAttributes, s.Indirect, s.SomeReasons.BitLength > 0, s.Point.RelativeName.FullBytes != nil,
		s.OnlyUsers && c.IsCA, s.OnlyAuthorities && !c.IsCA:
		return false
	case s.Point.FullName == nil:
		return true
	}
	const uri = 6 // tag of a uniformResourceIdentifier among the general names
	return slices.ContainsFunc(s.Point.FullName, func(name asn1.RawValue) bool {
		return name.Tag == uri && slices.Contains(c.CRLDistributionPoints, string(name.Bytes))
	})
}
