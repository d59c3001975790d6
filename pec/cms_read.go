package pec

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"
	"time"
)

// The limits of a CMS signature.
const (
	maxSignature     = 1 << 20   // bytes
	maxCertificates  = 16        // inside it
	maxCertificate   = 128 << 10 // bytes of one
	maxCMSAttributes = 32
)

// cmsReceived is the SignedData (RFC 5652 section 5.1) of a signature to
// verify. Lists stay raw until they are counted.
type cmsReceived struct {
	Version          int
	DigestAlgorithms asn1.RawValue
	Encapsulated     struct {
		Type    asn1.ObjectIdentifier
		Content asn1.RawValue `asn1:"optional,tag:0"`
	}
	Certificates asn1.RawValue `asn1:"optional,tag:0"`
	Revocations  asn1.RawValue `asn1:"optional,tag:1"`
	SignerInfos  asn1.RawValue
}

// cmsReceivedSigner is a SignerInfo, RFC 5652 section 5.3.
type cmsReceivedSigner struct {
	Version            int
	ID                 asn1.RawValue
	DigestAlgorithm    pkix.AlgorithmIdentifier
	SignedAttributes   asn1.RawValue `asn1:"optional,tag:0"`
	SignatureAlgorithm pkix.AlgorithmIdentifier
	Signature          []byte
}

// cmsSignature is a signature with one signer, whose certificate is inside.
// Nothing of it is verified.
type cmsSignature struct {
	signer      cmsReceivedSigner
	digest      cmsDigest
	certificate *x509.Certificate
	others      []*x509.Certificate
}

// parseCMS reads a detached signature in DER or BER. The cheap checks come first.
func parseCMS(ber []byte) (*cmsSignature, error) {
	der, err := berToDER(ber)
	if err != nil {
		return nil, fmt.Errorf("reading ASN.1: %w", err)
	}
	data, err := parseSignedData(der)
	if err != nil {
		return nil, err
	}
	if !data.Encapsulated.Type.Equal(oidData) || data.Encapsulated.Content.FullBytes != nil {
		return nil, errors.New("signature is not detached")
	}
	return readSignature(data)
}

// parseSignedData reads a SignedData, whatever its content is.
func parseSignedData(der []byte) (*cmsReceived, error) {
	var info cmsContentInfo
	if _, err := asn1.Unmarshal(der, &info); err != nil {
		return nil, fmt.Errorf("reading ContentInfo: %w", err)
	}
	if !info.Type.Equal(oidSignedData) {
		return nil, fmt.Errorf("content type %v is not signed-data", info.Type)
	}
	var data cmsReceived
	if _, err := asn1.Unmarshal(info.Content.Bytes, &data); err != nil {
		return nil, fmt.Errorf("reading SignedData: %w", err)
	}
	return &data, nil
}

// readSignature reads the only signer, and the certificates.
func readSignature(data *cmsReceived) (*cmsSignature, error) {
	s := &cmsSignature{}
	if err := s.readSigner(data.SignerInfos); err != nil {
		return nil, err
	}
	certificates, err := parseCertificates(data.Certificates.Bytes)
	if len(certificates) > 0 {
		return s, s.pickCertificate(certificates)
	}
	return nil, errors.Join(errors.New("no certificate inside"), err)
}

// readSigner reads the only signer: of two, one might be a provider and the
// other not.
func (s *cmsSignature) readSigner(infos asn1.RawValue) error {
	if infos.Class != asn1.ClassUniversal || infos.Tag != asn1.TagSet {
		return errors.New("no set of signers")
	}
	rest, err := asn1.Unmarshal(infos.Bytes, &s.signer)
	if err != nil {
		return fmt.Errorf("reading SignerInfo: %w", err)
	}
	if len(rest) > 0 {
		return errors.New("more than one signer")
	}
	s.digest, err = findDigest(s.signer.DigestAlgorithm.Algorithm)
	return err
}

// parseCertificates reads the certificates inside. One that cannot be read is
// passed over: it may be of a kind that is of no use here. The error tells of
// those, beside the certificates.
func parseCertificates(set []byte) ([]*x509.Certificate, error) {
	var all []*x509.Certificate
	var unread error
	for n := 0; len(set) > 0; n++ {
		var raw asn1.RawValue
		var err error
		if set, err = asn1.Unmarshal(set, &raw); err != nil {
			return nil, fmt.Errorf("reading certificates: %w", err)
		}
		if n == maxCertificates || len(raw.FullBytes) > maxCertificate {
			return nil, errors.New("too many certificates, or too large a one")
		}
		certificate, err := x509.ParseCertificate(raw.FullBytes)
		if err != nil {
			unread = errors.Join(unread, err)
			continue
		}
		all = append(all, certificate)
	}
	return all, unread
}

// pickCertificate finds the signer's among the certificates.
func (s *cmsSignature) pickCertificate(all []*x509.Certificate) error {
	for _, c := range all {
		switch {
		case !s.isSigner(c):
			s.others = append(s.others, c)
		case s.certificate != nil && !s.certificate.Equal(c):
			return errors.New("two certificates claim to be the signer's")
		default:
			s.certificate = c
		}
	}
	if s.certificate == nil {
		return errors.New("the signer's certificate is not inside")
	}
	return nil
}

// isSigner: a signer is named by issuer and serial number, or by subject key
// identifier (RFC 5652 section 5.3).
func (s *cmsSignature) isSigner(c *x509.Certificate) bool {
	id := s.signer.ID
	if id.Class == asn1.ClassContextSpecific && id.Tag == 0 {
		return len(id.Bytes) > 0 && bytes.Equal(id.Bytes, c.SubjectKeyId)
	}
	var name cmsIssuerAndSerial
	if _, err := asn1.Unmarshal(id.FullBytes, &name); err != nil {
		return false
	}
	return name.Serial.Cmp(c.SerialNumber) == 0 && bytes.Equal(name.Issuer.FullBytes, c.RawIssuer)
}

// cmsSignedAttributes are the signed attributes that say something here.
type cmsSignedAttributes struct {
	contentType   asn1.ObjectIdentifier
	messageDigest []byte
	signingTime   time.Time
}

// signedAttributes reads the signed attributes; RFC 5652 section 11 allows each
// once, with one value.
func (s *cmsSignature) signedAttributes() (*cmsSignedAttributes, error) {
	a := &cmsSignedAttributes{}
	var seen []string
	for rest := s.signer.SignedAttributes.Bytes; len(rest) > 0; {
		var attribute cmsAttribute
		var err error
		if rest, err = asn1.Unmarshal(rest, &attribute); err != nil {
			return nil, fmt.Errorf("reading signed attributes: %w", err)
		}
		oid := attribute.Type.String()
		if slices.Contains(seen, oid) || len(seen) == maxCMSAttributes {
			return nil, fmt.Errorf("signed attribute %s is there twice, or there are too many", oid)
		}
		seen = append(seen, oid)
		if err := a.read(attribute); err != nil {
			return nil, fmt.Errorf("signed attribute %s: %w", oid, err)
		}
	}
	return a, nil
}

func (a *cmsSignedAttributes) read(attribute cmsAttribute) error {
	var into any
	switch {
	case attribute.Type.Equal(oidContentType):
		into = &a.contentType
	case attribute.Type.Equal(oidMessageDigest):
		into = &a.messageDigest
	case attribute.Type.Equal(oidSigningTime):
		into = &a.signingTime
	default:
		return nil
	}
	rest, err := asn1.Unmarshal(attribute.Values.Bytes, into)
	if err == nil && len(rest) > 0 {
		err = errors.New("more than one value")
	}
	return err
}
