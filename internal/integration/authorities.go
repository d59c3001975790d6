package integration

import (
	"crypto/rand"
	"crypto/x509"
	"os"
	"path/filepath"
	"time"

	"github.com/pec-milter/pec-milter/internal/directory"
	"github.com/pec-milter/pec-milter/internal/testpki"
	"github.com/pec-milter/pec-milter/pec"
)

// authorities issue what the sites sign and encrypt with.
type authorities struct {
	root   *testpki.Authority // of the providers' certificates
	issuer *testpki.Authority // below it, constrained to the providers' domains
	tls    *testpki.Authority // of the servers' certificates
	lists  func(path string) (url string)
}

// newAuthorities makes them; their revocation lists are at the URLs of lists.
func newAuthorities(now time.Time, domains []string, lists func(path string) (url string)) (*authorities, error) {
	source := testpki.Source{Now: now, Rand: rand.Reader}
	root, err := testpki.NewRoot(source, "Throw-away Root")
	if err != nil {
		return nil, err
	}
	issuer, err := root.NewIntermediate("Throw-away PEC CA", domains, listedAt(lists(rootListPath)))
	if err != nil {
		return nil, err
	}
	servers, err := testpki.NewRoot(source, "Throw-away TLS Root")
	if err != nil {
		return nil, err
	}
	return &authorities{root, issuer, servers, lists}, nil
}

// listedAt says where the revocation list is that tells of a certificate.
func listedAt(url string) testpki.Change {
	return func(c *x509.Certificate) { c.CRLDistributionPoints = []string{url} }
}

// newProvider makes the key and certificate of a provider.
func (a *authorities) newProvider(title, address string) (*testpki.Credential, error) {
	return a.issuer.NewProvider(title, address, listedAt(a.lists(issuerListPath)))
}

// writeServer writes a TLS certificate for a host of this machine, and its key.
func (a *authorities) writeServer(host, chain, key string) error {
	credential, err := a.tls.NewServer([]string{host, "localhost"})
	if err != nil {
		return err
	}
	return credential.WriteFiles(chain, key)
}

// writeTrust writes what all providers judge signatures by: the directory with
// the providers, the roots, the revocation lists; and the root of the servers.
func (a *authorities) writeTrust(dir string, now time.Time, providers []*pec.Provider) error {
	if err := makeDirectories(dir, "roots"); err != nil {
		return err
	}
	if err := testpki.WriteCertificates(filepath.Join(dir, "roots", "root.pem"), a.root.Certificate()); err != nil {
		return err
	}
	if err := testpki.WriteCertificates(filepath.Join(dir, "roots", "issuer.pem"), a.issuer.Certificate()); err != nil {
		return err
	}
	if err := testpki.WriteCertificates(filepath.Join(dir, "tls-root.pem"), a.tls.Certificate()); err != nil {
		return err
	}
	if err := a.writeRevocations(dir, now.AddDate(0, 0, 7)); err != nil {
		return err
	}
	return writeDirectory(filepath.Join(dir, "directory.ldif"), providers)
}

// writeRevocations writes the revocation lists of both authorities, valid until
// next, with nothing on them but what is given.
func (a *authorities) writeRevocations(dir string, next time.Time, revoked ...*x509.Certificate) error {
	ofRoot, ofIssuer, err := a.revocations(next, revoked...)
	if err != nil {
		return err
	}
	return testpki.WriteRevocations(filepath.Join(dir, "revocations.pem"), ofRoot, ofIssuer)
}

// revocations are the revocation lists of both authorities, in DER.
func (a *authorities) revocations(next time.Time, revoked ...*x509.Certificate) (ofRoot, ofIssuer []byte, err error) {
	if ofRoot, err = a.root.Revoke(next); err != nil {
		return nil, nil, err
	}
	ofIssuer, err = a.issuer.Revoke(next, revoked...)
	return ofRoot, ofIssuer, err
}

func writeDirectory(path string, providers []*pec.Provider) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer file.Close()
	return directory.WriteLDIF(file, providers)
}
