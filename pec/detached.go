package pec

import (
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"time"
)

// SignDetached makes the detached CMS signature (DER) of a content that is no
// message, known by its SHA-256. The signed attributes are those of CAdES-BES
// (ETSI EN 319 122-1): contentType, signingTime, messageDigest,
// signingCertificateV2. chain is the signing certificate, then its
// intermediates. With an RSA key the same input gives the same bytes. The
// signature is verified before it is returned (ErrSelfCheck).
func SignDetached(digest [32]byte, key crypto.Signer, chain []*x509.Certificate, at time.Time) ([]byte, error) {
	return signData(digest, nil, key, chain, at)
}

// VerifyDetached verifies a detached CMS signature of a content: its Content is
// nil. Whether the signer is to be believed is for the caller to say. The error
// wraps ErrBadSignature, or is one of reading.
func VerifyDetached(content io.Reader, signature []byte) (*Signature, error) {
	if len(signature) > maxSignature {
		return nil, badSignature(fmt.Errorf("it is over %d bytes", maxSignature))
	}
	cms, err := parseCMS(signature)
	if err == nil {
		err = checkKey(cms.certificate.PublicKey)
	}
	if err != nil {
		return nil, badSignature(err)
	}
	if cms.digest.hash == crypto.SHA1 {
		return nil, badSignature(errors.New("it is made with SHA-1"))
	}
	sum, plain := cms.digest.hash.New(), sha256.New()
	if _, err := io.Copy(io.MultiWriter(sum, plain), content); err != nil {
		return nil, fmt.Errorf("reading what is signed: %w", err)
	}
	attributes, err := cms.verify(sum.Sum(nil))
	if err != nil {
		return nil, badSignature(err)
	}
	return &Signature{
		Certificate: cms.certificate, Certificates: cms.others, Digest: [32]byte(plain.Sum(nil)),
		DigestAlgorithm: cms.digest.hash, SigningTime: attributes.signingTime,
	}, nil
}

// CheckAuthority tells whether a signer's certificate was valid at a time and leads
// to a root. It asks neither the directory nor revocation lists: what was signed
// before a revocation stays signed. The errors wrap ErrExpired and ErrChain.
func (t *Trust) CheckAuthority(sig *Signature, at time.Time) error {
	if err := checkValidity(sig.Certificate, at); err != nil {
		return err
	}
	_, err := t.chains(sig, at)
	return err
}
