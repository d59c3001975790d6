package testpki

import (
	"crypto/x509"
	"fmt"
	"math/big"
	"time"
)

// Revoke issues a revocation list, in DER, that holds these certificates. It is
// valid from an hour before the authority's time to next, which may be past: an
// expired list.
func (a *Authority) Revoke(next time.Time, revoked ...*x509.Certificate) ([]byte, error) {
	issued := a.source.Now.Add(-time.Hour)
	if next.Before(issued) {
		issued = next.Add(-time.Hour)
	}
	list := &x509.RevocationList{
		Number:     big.NewInt(issued.Unix()),
		ThisUpdate: issued,
		NextUpdate: next,
	}
	for _, certificate := range revoked {
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries,
			x509.RevocationListEntry{SerialNumber: certificate.SerialNumber, RevocationTime: issued})
	}
	der, err := x509.CreateRevocationList(a.source.Rand, list, a.Certificate(), a.Key)
	if err != nil {
		return nil, fmt.Errorf("issuing a revocation list of %s: %w", a.Certificate().Subject, err)
	}
	return der, nil
}
