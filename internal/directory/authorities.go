package directory

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/pec-milter/pec-milter/pec"
)

// maxPEM bounds a file of certificates, in bytes.
const maxPEM = 4 << 20

// authorities are the certificates of the trusted certification authorities.
type authorities struct {
	all                  []*x509.Certificate
	roots, intermediates *x509.CertPool
}

// Authorities trusts the certificates in a directory's PEM files, as Open does:
// for judging signatures that are no messages. What cannot be used is an error.
func Authorities(directory string) (*pec.Trust, error) {
	a, faults, err := readAuthorities(directory)
	if err = errors.Join(append(faults, err)...); err != nil {
		return nil, err
	}
	return &pec.Trust{Roots: a.roots, Intermediates: a.intermediates}, nil
}

// Certificates are those that Authorities trusts, roots and others.
func Certificates(directory string) ([]*x509.Certificate, error) {
	paths, faults, err := certificateFiles(directory)
	if err = errors.Join(append(faults, err)...); err != nil {
		return nil, err
	}
	var all []*x509.Certificate
	for _, path := range paths {
		certificates, bad := readCertificateFile(path)
		if err := errors.Join(bad...); err != nil {
			return nil, err
		}
		all = append(all, certificates...)
	}
	return all, nil
}

// readAuthorities reads all certificates of a directory's PEM files: the
// self-signed ones are roots. One that cannot be used is left out and told in
// the faults; without any root the directory is an error.
func readAuthorities(directory string) (*authorities, []error, error) {
	paths, faults, err := certificateFiles(directory)
	if err != nil {
		return nil, nil, err
	}
	a := &authorities{roots: x509.NewCertPool(), intermediates: x509.NewCertPool()}
	roots := 0
	for _, path := range paths {
		certificates, bad := readCertificateFile(path)
		faults = append(faults, bad...)
		a.all = append(a.all, certificates...)
		for _, certificate := range certificates {
			if isSelfSigned(certificate) {
				a.roots.AddCert(certificate)
				roots++
			} else {
				a.intermediates.AddCert(certificate)
			}
		}
	}
	if roots == 0 {
		err := fmt.Errorf("%s: no root certificate: put the self-signed certificates of the trusted authorities there, "+
			"as .pem or .crt files in PEM", directory)
		return nil, nil, errors.Join(append([]error{err}, faults...)...)
	}
	return a, faults, nil
}

// certificateFiles are the files that count. A name such as ca.pem.old is
// passed over aloud: taking it in would go on trusting what was taken away.
func certificateFiles(directory string) (paths []string, faults []error, err error) {
	entries, err := os.ReadDir(directory)
	if err != nil {
		return nil, nil, err
	}
	for _, entry := range entries {
		path := filepath.Join(directory, entry.Name())
		switch {
		case strings.HasPrefix(entry.Name(), "."):
		case slices.Contains([]string{".pem", ".crt"}, filepath.Ext(path)):
			paths = append(paths, path)
		default:
			faults = append(faults, fmt.Errorf("%s passed over: its name does not end in .pem or .crt", path))
		}
	}
	return paths, faults, nil
}

func readCertificateFile(path string) (certificates []*x509.Certificate, faults []error) {
	data, err := readFile(path, maxPEM)
	if err != nil {
		return nil, []error{err}
	}
	count := 0
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		count++
		certificate, err := parseAuthority(block)
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: block %d left out: %w", path, count, err))
			continue
		}
		certificates = append(certificates, certificate)
	}
	if count == 0 {
		faults = append(faults, fmt.Errorf("%s: no certificate in PEM", path))
	}
	return certificates, faults
}

func parseAuthority(block *pem.Block) (*x509.Certificate, error) {
	if block.Type != "CERTIFICATE" {
		return nil, fmt.Errorf("it is a %q, not a CERTIFICATE", block.Type)
	}
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, err
	}
	// Old roots are of version 1, which has no extensions to tell it with.
	if certificate.Version == 3 && !certificate.IsCA {
		return nil, fmt.Errorf("%q is not the certificate of an authority", certificate.Subject)
	}
	return certificate, nil
}

// isSelfSigned goes by names and key identifiers: the signatures of old roots
// use algorithms that crypto/x509 no longer checks, and prove nothing here.
func isSelfSigned(c *x509.Certificate) bool {
	return bytes.Equal(c.RawIssuer, c.RawSubject) &&
		(len(c.AuthorityKeyId) == 0 || bytes.Equal(c.AuthorityKeyId, c.SubjectKeyId))
}
