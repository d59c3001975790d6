package pec

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/subtle"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"io"
)

// The sizes of RSA keys, in bits, that signatures are verified with.
const (
	minRSA = 2048
	maxRSA = 8192
)

// cmsDigest is a digest algorithm, with the signature algorithms that name it
// too, and what those are called.
type cmsDigest struct {
	hash            crypto.Hash
	oid, rsa, ecdsa asn1.ObjectIdentifier
	names           cmsNames
}

type cmsNames struct{ rsa, pss, ecdsa x509.SignatureAlgorithm }

// cmsDigests are the algorithms of RFC 5754, and SHA-1. What is not here is
// refused, MD5 before all.
var cmsDigests = []cmsDigest{
	{crypto.SHA256, oidSHA256, asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 11}, oidECDSAWithSHA256,
		cmsNames{x509.SHA256WithRSA, x509.SHA256WithRSAPSS, x509.ECDSAWithSHA256}},
	{crypto.SHA384, oidSHA384, asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 12}, asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 3},
		cmsNames{x509.SHA384WithRSA, x509.SHA384WithRSAPSS, x509.ECDSAWithSHA384}},
	{crypto.SHA512, oidSHA512, asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 13}, asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 4},
		cmsNames{x509.SHA512WithRSA, x509.SHA512WithRSAPSS, x509.ECDSAWithSHA512}},
	{crypto.SHA1, oidSHA1, asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 5}, asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 1},
		cmsNames{rsa: x509.SHA1WithRSA, ecdsa: x509.ECDSAWithSHA1}},
}

// More object identifiers of CMS, RFC 5754 and RFC 4056.
var (
	oidSHA1   = asn1.ObjectIdentifier{1, 3, 14, 3, 2, 26}
	oidSHA384 = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 2}
	oidSHA512 = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 3}
	oidRSAPSS = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 10}
	oidMGF1   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 8}
)

func findDigest(oid asn1.ObjectIdentifier) (cmsDigest, error) {
	for _, d := range cmsDigests {
		if oid.Equal(d.oid) {
			return d, nil
		}
	}
	return cmsDigest{}, fmt.Errorf("digest algorithm %v is not accepted", oid)
}

// verify checks the signature over a content known by its digest, and gives the
// signed attributes.
func (s *cmsSignature) verify(contentDigest []byte) (*cmsSignedAttributes, error) {
	attributes, err := s.signedAttributes()
	if err != nil {
		return nil, err
	}
	signed := contentDigest
	if raw := s.signer.SignedAttributes.FullBytes; raw != nil {
		if !attributes.contentType.Equal(oidData) {
			return nil, fmt.Errorf("signed content type is %v, not data", attributes.contentType)
		}
		if subtle.ConstantTimeCompare(attributes.messageDigest, contentDigest) != 1 {
			return nil, errors.New("the content was changed after it was signed: its digest differs")
		}
		// What is signed has the tag of a SET, RFC 5652 section 5.4.
		h := s.digest.hash.New()
		h.Write([]byte{asn1.TagSet | 0x20})
		h.Write(raw[1:])
		signed = h.Sum(nil)
	}
	return attributes, s.verifyValue(signed)
}

// verifyValue checks the value of the signature over a digest.
func (s *cmsSignature) verifyValue(digest []byte) error {
	algorithm, value := s.signer.SignatureAlgorithm.Algorithm, s.signer.Signature
	switch key := s.certificate.PublicKey.(type) {
	case *rsa.PublicKey:
		switch {
		case algorithm.Equal(oidRSA), algorithm.Equal(s.digest.rsa):
			return rsa.VerifyPKCS1v15(key, s.digest.hash, digest, value)
		case algorithm.Equal(oidRSAPSS):
			return s.verifyPSS(key, digest)
		}
	case *ecdsa.PublicKey:
		if algorithm.Equal(s.digest.ecdsa) {
			if !ecdsa.VerifyASN1(key, digest, value) {
				return errors.New("ECDSA verification error")
			}
			return nil
		}
	}
	return fmt.Errorf("signature algorithm %v does not go with digest %v and the key", algorithm, s.digest.hash)
}

// algorithm is what the signature algorithm is called: of a signature that holds.
func (s *cmsSignature) algorithm() x509.SignatureAlgorithm {
	switch algorithm := s.signer.SignatureAlgorithm.Algorithm; {
	case algorithm.Equal(s.digest.ecdsa):
		return s.digest.names.ecdsa
	case algorithm.Equal(oidRSAPSS):
		return s.digest.names.pss
	}
	return s.digest.names.rsa
}

// pssParameters are RSASSA-PSS-params, RFC 4055 section 3.1.
type pssParameters struct {
	Hash       pkix.AlgorithmIdentifier `asn1:"explicit,optional,tag:0"`
	MGF        pkix.AlgorithmIdentifier `asn1:"explicit,optional,tag:1"`
	SaltLength int                      `asn1:"explicit,optional,default:20,tag:2"`
	Trailer    int                      `asn1:"explicit,optional,default:1,tag:3"` // 1 is all there is
}

// verifyPSS: the parameters must name the digest algorithm of the signer (RFC
// 4056 section 3). They leave out only SHA-1, which nobody signs with this way.
func (s *cmsSignature) verifyPSS(key *rsa.PublicKey, digest []byte) error {
	var p pssParameters
	if _, err := asn1.Unmarshal(s.signer.SignatureAlgorithm.Parameters.FullBytes, &p); err != nil {
		return fmt.Errorf("reading RSASSA-PSS parameters: %w", err)
	}
	var mask pkix.AlgorithmIdentifier
	if _, err := asn1.Unmarshal(p.MGF.Parameters.FullBytes, &mask); err != nil {
		return fmt.Errorf("reading RSASSA-PSS mask generation: %w", err)
	}
	if !p.Hash.Algorithm.Equal(s.digest.oid) || !p.MGF.Algorithm.Equal(oidMGF1) || !mask.Algorithm.Equal(s.digest.oid) ||
		p.SaltLength <= 0 || p.Trailer != 1 {
		return errors.New("RSASSA-PSS parameters do not go with the digest algorithm")
	}
	return rsa.VerifyPSS(key, s.digest.hash, digest, s.signer.Signature, &rsa.PSSOptions{SaltLength: p.SaltLength})
}

// checkKey refuses keys that prove little or cost much.
func checkKey(public crypto.PublicKey) error {
	switch key := public.(type) {
	case *rsa.PublicKey:
		if bits := key.N.BitLen(); bits < minRSA || bits > maxRSA || key.E < 3 || key.E%2 == 0 {
			return fmt.Errorf("RSA key of %d bits, exponent %d: not accepted", bits, key.E)
		}
		return nil
	case *ecdsa.PublicKey:
		if bits := key.Curve.Params().BitSize; bits < 256 {
			return fmt.Errorf("ECDSA key of %d bits: not accepted", bits)
		}
		return nil
	}
	return fmt.Errorf("key %T is not accepted", public)
}

// digestContent computes the digests of a signed content in one pass: SHA-256,
// and the one that the signature is about.
func digestContent(content Body, hash crypto.Hash) (sha256Sum [32]byte, sum []byte, err error) {
	own, other := crypto.SHA256.New(), hash.New()
	w := io.Writer(own)
	if hash != crypto.SHA256 {
		w = io.MultiWriter(own, other)
	}
	if err := writeCanonical(w, content); err != nil {
		return sha256Sum, nil, err
	}
	sha256Sum = [32]byte(own.Sum(nil))
	if hash == crypto.SHA256 {
		return sha256Sum, sha256Sum[:], nil
	}
	return sha256Sum, other.Sum(nil), nil
}
