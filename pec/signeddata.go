package pec

import (
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"time"
)

// SignedData is a CMS signature with its content inside (RFC 5652 section 5): a
// file whose name ends in .p7m, as the PEC providers directory is published (RFC
// 6109 section 4.5). The signature was verified; who made it is not judged.
type SignedData struct {
	Content      []byte
	Certificate  *x509.Certificate   // the signer's
	Certificates []*x509.Certificate // the others inside, in their order
	// SigningTime is what the signer says; zero where he says nothing.
	SigningTime time.Time
	Weak        bool // the digest is SHA-1
}

// OpenSignedData reads a SignedData with one signer, in DER or BER, and verifies
// its signature. The content is held in memory once more. Every error wraps
// ErrBadSignature.
func OpenSignedData(ber []byte) (*SignedData, error) {
	der, err := berToDER(ber)
	if err != nil {
		return nil, badSignature(fmt.Errorf("reading ASN.1: %w", err))
	}
	data, content, err := parseOpaque(der)
	if err != nil {
		return nil, badSignature(err)
	}
	s, err := readSignature(data)
	if err != nil {
		return nil, badSignature(err)
	}
	if err := checkKey(s.certificate.PublicKey); err != nil {
		return nil, badSignature(err)
	}
	hash := s.digest.hash.New()
	hash.Write(content)
	attributes, err := s.verify(hash.Sum(nil))
	if err != nil {
		return nil, badSignature(err)
	}
	return &SignedData{
		Content: content, Certificate: s.certificate, Certificates: s.others,
		SigningTime: attributes.signingTime, Weak: s.digest.hash == crypto.SHA1,
	}, nil
}

// parseOpaque reads a SignedData with its content inside.
func parseOpaque(der []byte) (*cmsReceived, []byte, error) {
	data, err := parseSignedData(der)
	if err != nil {
		return nil, nil, err
	}
	if !data.Encapsulated.Type.Equal(oidData) || data.Encapsulated.Content.FullBytes == nil {
		return nil, nil, errors.New("it has no data inside: the signature is detached, or of something else")
	}
	var octets asn1.RawValue
	rest, err := asn1.Unmarshal(data.Encapsulated.Content.Bytes, &octets)
	if err != nil || len(rest) > 0 {
		return nil, nil, fmt.Errorf("reading the content: %d bytes after it: %w", len(rest), err)
	}
	content, err := joinOctets(nil, octets)
	return data, content, err
}

// joinOctets appends an OCTET STRING; in BER it may come in pieces.
func joinOctets(content []byte, octets asn1.RawValue) ([]byte, error) {
	if octets.Class != asn1.ClassUniversal || octets.Tag != asn1.TagOctetString {
		return nil, fmt.Errorf("reading the content: tag %d is no OCTET STRING", octets.Tag)
	}
	if !octets.IsCompound {
		return append(content, octets.Bytes...), nil
	}
	for rest := octets.Bytes; len(rest) > 0; {
		var piece asn1.RawValue
		var err error
		if rest, err = asn1.Unmarshal(rest, &piece); err != nil {
			return nil, fmt.Errorf("reading the content: %w", err)
		}
		if content, err = joinOctets(content, piece); err != nil {
			return nil, err
		}
	}
	return content, nil
}

// SignData makes a SignedData with its content inside, in DER, with SHA-256.
// chain is the signing certificate, then its intermediates; at is the signing
// time. The signature is verified before it is returned (ErrSelfCheck). With an
// RSA key the same input gives the same bytes.
func SignData(content []byte, key crypto.Signer, chain []*x509.Certificate, at time.Time) ([]byte, error) {
	inside := append([]byte{}, content...) // not nil: that would be detached
	return signData(sha256.Sum256(content), inside, key, chain, at)
}
