package directory

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/pec-milter/pec-milter/pec"
)

// maxP7M bounds a signed directory, in bytes: its LDIF in base64, and the
// certificates.
const maxP7M = maxLDIF/3*4 + 4<<20

// maxSigningAhead is how far a signer's clock may be ahead of ours.
const maxSigningAhead = 15 * time.Minute

// Signers are the certificates that sign the providers directory, or that of an
// authority that issues those.
type Signers struct {
	pinned      []*x509.Certificate
	authorities *x509.CertPool
}

// ReadSigners reads them from a file in PEM. One that is of no authority must be
// the signer's own.
func ReadSigners(path string) (*Signers, error) {
	if path == "" {
		return nil, errors.New("nobody is trusted to sign the directory: name the file of the signers' certificates")
	}
	data, err := readFile(path, maxPEM)
	if err != nil {
		return nil, err
	}
	s := &Signers{authorities: x509.NewCertPool()}
	count := 0
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		count++
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil || block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("%s: block %d, %q, is no certificate: %w", path, count, block.Type, err)
		}
		if certificate.IsCA || isSelfSigned(certificate) {
			s.authorities.AddCert(certificate)
		}
		s.pinned = append(s.pinned, certificate)
	}
	if count == 0 {
		return nil, fmt.Errorf("%s: no certificate in PEM: put that of whoever signs the directory there, or of its authority", path)
	}
	return s, nil
}

// check tells whether a signer is trusted now.
func (s *Signers) check(signed *pec.SignedData, now time.Time) error {
	signer := signed.Certificate
	if now.Before(signer.NotBefore) || now.After(signer.NotAfter) {
		return fmt.Errorf("the certificate of the signer %s is valid from %s to %s only", signer.Subject,
			signer.NotBefore.Format(time.RFC3339), signer.NotAfter.Format(time.RFC3339))
	}
	for _, certificate := range s.pinned {
		if certificate.Equal(signer) {
			return nil
		}
	}
	inside := x509.NewCertPool()
	for _, certificate := range signed.Certificates {
		inside.AddCert(certificate)
	}
	_, err := signer.Verify(x509.VerifyOptions{
		Roots: s.authorities, Intermediates: inside, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	if err != nil {
		return fmt.Errorf("signed by %s, whom nobody trusts here: %w", signer.Subject, err)
	}
	return nil
}

// open takes the LDIF out of a signed directory, in any of the forms that such a
// file comes in, if one of the signers has signed it.
func (s *Signers) open(data []byte, now time.Time) (*fetched, error) {
	der, err := unwrap(data)
	if err != nil {
		return nil, err
	}
	signed, err := pec.OpenSignedData(der)
	if err != nil {
		return nil, err
	}
	if err := s.check(signed, now); err != nil {
		return nil, err
	}
	if signed.Weak {
		return nil, errors.New("signed with SHA-1, which proves nothing of a text that others have a part in")
	}
	if ahead := signed.SigningTime.Sub(now); ahead > maxSigningAhead {
		return nil, fmt.Errorf("signed on %s, which is %v from now: is our clock right?", signed.SigningTime.Format(time.RFC3339), ahead.Round(time.Minute))
	}
	return &fetched{ldif: signed.Content, signer: signed.Certificate.Subject.String(), signed: signed.SigningTime}, nil
}

var errNotSigned = errors.New("it is not signed: neither a .p7m in DER nor one in PEM, base64 or S/MIME")

// unwrap gives the ASN.1 of a .p7m: as it is, in PEM, in base64, or in an S/MIME
// entity (RFC 8551).
func unwrap(data []byte) ([]byte, error) {
	if len(data) > 0 && data[0] == 0x30 { // a SEQUENCE; in text it would be the digit 0
		return data, nil
	}
	if block, _ := pem.Decode(data); block != nil {
		return block.Bytes, nil
	}
	text := data
	if header, body, found := cutHeader(data); found && bytes.Contains(bytes.ToLower(header), []byte("pkcs7-")) {
		text = body
	}
	der, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(string(text)), ""))
	if err != nil || len(der) == 0 {
		return nil, errNotSigned
	}
	return der, nil
}

// cutHeader cuts an entity at the empty line after its header.
func cutHeader(data []byte) (header, body []byte, found bool) {
	if header, body, found = bytes.Cut(data, []byte("\r\n\r\n")); found {
		return header, body, true
	}
	return bytes.Cut(data, []byte("\n\n"))
}
