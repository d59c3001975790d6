// Package directory keeps what signatures are judged by: the PEC providers
// directory (RFC 6109 section 4.5), the certificates of the trusted authorities
// and their revocation lists. It reads them from files and reads them again
// when they change; a bad new version of the directory or of the authorities
// never takes the place of a good old one.
//
// Revocation lists it can also fetch itself, in the background and only for
// certificates that it lists or trusts. Whether a list is current enough for a
// message is decided elsewhere.
package directory

import (
	"slices"
	"strings"

	"github.com/pec-milter/pec-milter/pec"
)

// Directory is the providers directory, indexed by domain and by certificate.
// It implements pec.Directory, does not change, and is safe for concurrent use.
type Directory struct {
	providers     []*pec.Provider
	byDomain      map[string]*pec.Provider
	byCertificate map[string][]*pec.Provider
}

// ByDomain is the provider that manages a domain; nil where none does, or where
// the text is not a domain. Where two environments of one provider list the
// domain it is the main one, else the first in the file.
func (d *Directory) ByDomain(domain string) *pec.Provider {
	if !isDomain(domain) {
		return nil
	}
	return d.byDomain[strings.ToLower(domain)]
}

// ByCertificateHash are the providers that list a certificate with this SHA-1
// hash, in hexadecimal digits of either case (RFC 6109 section 4.5.1), in the
// order of the file. The environments of one provider may share a certificate.
func (d *Directory) ByCertificateHash(hash string) []*pec.Provider {
	return slices.Clone(d.byCertificate[strings.ToLower(hash)])
}

// Providers are all records, in the order of the file. The caller changes none
// of them.
func (d *Directory) Providers() []*pec.Provider { return slices.Clone(d.providers) }

func newDirectory(providers []*pec.Provider) *Directory {
	d := &Directory{
		providers:     providers,
		byDomain:      make(map[string]*pec.Provider),
		byCertificate: make(map[string][]*pec.Provider),
	}
	for _, p := range providers {
		d.index(p)
	}
	return d
}

func (d *Directory) index(p *pec.Provider) {
	for _, domain := range p.Domains {
		other := d.byDomain[domain]
		if other == nil || other.Unit != "" && p.Unit == "" {
			d.byDomain[domain] = p
		}
	}
	for _, certificate := range p.Certificates {
		hash := pec.CertificateHash(certificate.Raw)
		d.byCertificate[hash] = append(d.byCertificate[hash], p)
	}
}
