package pec

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"time"
)

// Object identifiers of CMS, RFC 5652 and RFC 5035.
var (
	oidData                 = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 1}
	oidSignedData           = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2}
	oidContentType          = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 3}
	oidMessageDigest        = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 4}
	oidSigningTime          = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 5}
	oidSigningCertificateV2 = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 47}
	oidSHA256               = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}
	oidRSA                  = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 1}
	oidECDSAWithSHA256      = asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2}
)

// ErrSelfCheck means that a signature just made does not verify with the public
// key of its certificate: the key source is faulty, nothing may be sent.
var ErrSelfCheck = errors.New("own signature does not verify")

type cmsAttribute struct {
	Type   asn1.ObjectIdentifier
	Values asn1.RawValue // SET OF one value
}

type cmsSignerInfo struct {
	Version            int
	Issuer             cmsIssuerAndSerial
	DigestAlgorithm    pkix.AlgorithmIdentifier
	SignedAttributes   asn1.RawValue
	SignatureAlgorithm pkix.AlgorithmIdentifier
	Signature          []byte
}

type cmsIssuerAndSerial struct {
	Issuer asn1.RawValue
	Serial *big.Int
}

type cmsContentInfo struct {
	Type    asn1.ObjectIdentifier
	Content asn1.RawValue // explicit [0]
}

type cmsSignedData struct {
	Version          int
	DigestAlgorithms []pkix.AlgorithmIdentifier `asn1:"set"`
	ContentInfo      struct {
		Type    asn1.ObjectIdentifier
		Content []byte `asn1:"explicit,optional,tag:0"` // nil: detached
	}
	Certificates asn1.RawValue
	SignerInfos  []cmsSignerInfo `asn1:"set"`
}

// signData makes a SignedData (DER) of a content known by its SHA-256, with the
// content inside, or nil where it is detached. The signed attributes are those of
// CAdES-BES (ETSI EN 319 122-1).
func signData(digest [32]byte, content []byte, key crypto.Signer, chain []*x509.Certificate, at time.Time) ([]byte, error) {
	if len(chain) == 0 {
		return nil, errors.New("no signing certificate")
	}
	attributes, err := signedAttributes(digest, chain[0], at)
	if err != nil {
		return nil, fmt.Errorf("encoding signed attributes: %w", err)
	}
	signature, err := signAttributes(attributes, key, chain[0])
	if err != nil {
		return nil, err
	}
	info := signerInfo(attributes, signature, chain[0])
	return encodeSignedData(info, content, chain)
}

// signedAttributes is the DER encoding of the SET OF signed attributes, in DER
// order.
func signedAttributes(digest [32]byte, certificate *x509.Certificate, at time.Time) ([]byte, error) {
	hash := sha256.Sum256(certificate.Raw)
	// ESSCertIDv2 with its default algorithm SHA-256 left out, RFC 5035 section 4.
	type certID struct{ Hash []byte }
	type signingCertificate struct{ Certs []certID }
	values := []struct {
		oid   asn1.ObjectIdentifier
		value any
	}{
		{oidContentType, oidData},
		{oidSigningTime, at.UTC().Truncate(time.Second)},
		{oidMessageDigest, digest[:]},
		{oidSigningCertificateV2, signingCertificate{[]certID{{hash[:]}}}},
	}
	var encoded [][]byte
	for _, v := range values {
		value, err := asn1.Marshal(v.value)
		if err != nil {
			return nil, err
		}
		der, err := asn1.Marshal(cmsAttribute{v.oid, setOf(value)})
		if err != nil {
			return nil, err
		}
		encoded = append(encoded, der)
	}
	slices.SortFunc(encoded, bytes.Compare)
	return asn1.Marshal(setOf(bytes.Join(encoded, nil)))
}

func setOf(content []byte) asn1.RawValue {
	return asn1.RawValue{Tag: asn1.TagSet, IsCompound: true, Bytes: content}
}

// signAttributes signs and verifies. No randomness: RSA PKCS#1 v1.5 uses none,
// and ECDSA without a source is deterministic (RFC 6979).
func signAttributes(attributes []byte, key crypto.Signer, certificate *x509.Certificate) ([]byte, error) {
	digest := sha256.Sum256(attributes)
	signature, err := key.Sign(nil, digest[:], crypto.SHA256)
	if err != nil {
		return nil, fmt.Errorf("signing: %w", err)
	}
	good := false
	switch public := certificate.PublicKey.(type) {
	case *rsa.PublicKey:
		good = rsa.VerifyPKCS1v15(public, crypto.SHA256, digest[:], signature) == nil
	case *ecdsa.PublicKey:
		good = ecdsa.VerifyASN1(public, digest[:], signature)
	}
	if !good {
		return nil, ErrSelfCheck
	}
	return signature, nil
}

func signerInfo(attributes, signature []byte, certificate *x509.Certificate) cmsSignerInfo {
	algorithm := pkix.AlgorithmIdentifier{Algorithm: oidRSA, Parameters: asn1.NullRawValue}
	if certificate.PublicKeyAlgorithm == x509.ECDSA {
		algorithm = pkix.AlgorithmIdentifier{Algorithm: oidECDSAWithSHA256}
	}
	// Inside the structure the SET is tagged [0] IMPLICIT, RFC 5652 section 5.4.
	implicit := append([]byte{0xa0}, attributes[1:]...)
	return cmsSignerInfo{
		Version:            1,
		Issuer:             cmsIssuerAndSerial{asn1.RawValue{FullBytes: certificate.RawIssuer}, certificate.SerialNumber},
		DigestAlgorithm:    pkix.AlgorithmIdentifier{Algorithm: oidSHA256, Parameters: asn1.NullRawValue},
		SignedAttributes:   asn1.RawValue{FullBytes: implicit},
		SignatureAlgorithm: algorithm,
		Signature:          signature,
	}
}

func encodeSignedData(info cmsSignerInfo, content []byte, chain []*x509.Certificate) ([]byte, error) {
	var certificates []byte
	for _, c := range chain {
		certificates = append(certificates, c.Raw...)
	}
	data := cmsSignedData{
		Version:          1,
		DigestAlgorithms: []pkix.AlgorithmIdentifier{info.DigestAlgorithm},
		Certificates:     asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: certificates},
		SignerInfos:      []cmsSignerInfo{info},
	}
	data.ContentInfo.Type, data.ContentInfo.Content = oidData, content
	inner, err := asn1.Marshal(data)
	if err != nil {
		return nil, fmt.Errorf("encoding signature: %w", err)
	}
	return asn1.Marshal(cmsContentInfo{oidSignedData, asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: inner}})
}
