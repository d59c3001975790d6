// Package testtsa is a throw-away time-stamping authority (RFC 3161), for the tests and
// the demo: its key lies in memory, and it believes any request.
package testtsa

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"io"
	"net/http"
	"time"

	"github.com/digitorus/timestamp"

	"github.com/pec-milter/pec-milter/internal/testpki"
)

// Authority answers time-stamp requests over HTTP, at any path. It is safe for
// concurrent use.
type Authority struct {
	Root        *x509.Certificate // what its stamps lead to
	certificate *x509.Certificate
	key         crypto.Signer
	now         func() time.Time
}

// New makes an authority with a root of its own, whose stamps have the time of now.
func New(now func() time.Time, random io.Reader) (*Authority, error) {
	root, err := testpki.NewRoot(testpki.Source{Now: now(), Rand: random}, "Throw-away TSA Root")
	if err != nil {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), random)
	if err != nil {
		return nil, err
	}
	signer, err := root.CertifyProvider("Throw-away TSA", "tsa@tsa.example", key.Public(), forStamps)
	if err != nil {
		return nil, err
	}
	return &Authority{root.Certificate(), signer.Certificate(), key, now}, nil
}

// forStamps is what RFC 3161 section 2.3 asks for: the one purpose, marked critical.
func forStamps(c *x509.Certificate) {
	timeStamping := asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 8}
	value, _ := asn1.Marshal([]asn1.ObjectIdentifier{timeStamping}) // it has no reason to fail
	c.KeyUsage, c.ExtKeyUsage, c.EmailAddresses = x509.KeyUsageDigitalSignature, nil, nil
	c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 37}, Critical: true, Value: value}}
}

// ServeHTTP stamps the request's hash.
func (a *Authority) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // who asked is gone
	}
	request, err := timestamp.ParseRequest(body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	stamp := timestamp.Timestamp{
		HashAlgorithm: request.HashAlgorithm, HashedMessage: request.HashedMessage, Time: a.now(), Nonce: request.Nonce,
		Policy: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 99}, AddTSACertificate: true,
	}
	answer, err := stamp.CreateResponseWithOpts(a.certificate, a.key, crypto.SHA256)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	_, _ = w.Write(answer) // who asked is gone
}
