package pec

import (
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"time"
)

// Signature is a good signature of a message: its holder signed these bytes.
// Whether the holder is a PEC provider is for Trust to say.
type Signature struct {
	// Certificate is the signer's.
	Certificate *x509.Certificate
	// Certificates are the others inside the signature; nobody vouches for them.
	Certificates []*x509.Certificate
	// Digest is the SHA-256 of the canonical signed content, whatever algorithm
	// was signed with (DigestSigned).
	Digest [32]byte
	// DigestAlgorithm is the algorithm that was signed with.
	DigestAlgorithm crypto.Hash
	// Algorithm is that of the signature, which names the digest too.
	Algorithm x509.SignatureAlgorithm
	// Weak: the algorithm is SHA-1. Whether that is still good is for the caller
	// to decide.
	Weak bool
	// SigningTime is when the signer says that it signed; zero if it does not.
	SigningTime time.Time
	// Content is the part that is signed.
	Content *Part
}

// ErrNotSigned means that a message has no S/MIME signature structure.
var ErrNotSigned = errors.New("message is not signed")

// ErrBadSignature means that the signature of a message does not hold, or that
// it is none that could ever be verified. It is wrapped with the reason.
var ErrBadSignature = errors.New("signature is not valid")

// VerifySignature verifies the signature of a message: multipart/signed with a
// detached CMS signature (RFC 8551 section 3.5.3), of one signer whose
// certificate is inside (RFC 6109 section 2.1). root is what Structure gave for
// the message, or one of its parts; nil to have the message read here.
//
// The signature is verified over the raw bytes with CRLF line ends. RSA (PKCS#1
// v1.5 and PSS, 2048 to 8192 bits) and ECDSA are known, SHA-256, SHA-384,
// SHA-512, and SHA-1 as weak. What micalg and protocol say is of no account:
// the signature tells. Errors wrap ErrNotSigned, ErrBadSignature or, where root
// is nil, ErrStructure; any other is one of reading.
func VerifySignature(m Message, root *Part) (*Signature, error) {
	if root == nil {
		var err error
		if root, err = Structure(m); err != nil {
			return nil, err
		}
	}
	encoded, err := signaturePart(root)
	if err != nil {
		return nil, err
	}
	cms, err := readCMS(encoded)
	if err != nil {
		return nil, err
	}
	content := root.Parts[0]
	digest, sum, err := digestContent(content.Raw(), cms.digest.hash)
	if err != nil {
		return nil, err
	}
	attributes, err := cms.verify(sum)
	if err != nil {
		return nil, badSignature(err)
	}
	return &Signature{
		Certificate: cms.certificate, Certificates: cms.others,
		Digest: digest, DigestAlgorithm: cms.digest.hash, Algorithm: cms.algorithm(), Weak: cms.digest.hash == crypto.SHA1,
		SigningTime: attributes.signingTime, Content: content,
	}, nil
}

// Addresses are the mail addresses of the signer's certificate: the rfc822Names
// of its subject alternative name.
func (s *Signature) Addresses() []string { return s.Certificate.EmailAddresses }

func badSignature(reason error) error { return fmt.Errorf("%w: %w", ErrBadSignature, reason) }

// signaturePart finds the part with the signature. Its own type decides: some
// providers leave the parameter protocol out.
func signaturePart(root *Part) (*Part, error) {
	if root.MediaType != "multipart/signed" {
		return nil, fmt.Errorf("%w: it is %s", ErrNotSigned, root.MediaType)
	}
	if len(root.Parts) != 2 {
		return nil, badSignature(fmt.Errorf("multipart/signed has %d parts, not 2", len(root.Parts)))
	}
	switch p := root.Parts[1]; p.MediaType {
	case "application/pkcs7-signature", "application/x-pkcs7-signature":
		return p, nil
	default:
		return nil, fmt.Errorf("%w by S/MIME: the signature is %s", ErrNotSigned, p.MediaType)
	}
}

// readCMS decodes and parses a signature. The key is looked at before anything
// is computed with it.
func readCMS(p *Part) (*cmsSignature, error) {
	// Twice the size is more than enough for base64 and its line ends.
	if size := p.Body().Size(); size > 2*maxSignature {
		return nil, badSignature(fmt.Errorf("its part has %d bytes", size))
	}
	ber, err := io.ReadAll(io.LimitReader(p.Content(), maxSignature+1))
	switch {
	case errors.Is(err, ErrEncoding):
		return nil, badSignature(err)
	case err != nil:
		return nil, fmt.Errorf("reading signature: %w", err)
	case len(ber) > maxSignature:
		return nil, badSignature(fmt.Errorf("it is over %d bytes", maxSignature))
	}
	cms, err := parseCMS(ber)
	if err != nil {
		return nil, badSignature(err)
	}
	if err := checkKey(cms.certificate.PublicKey); err != nil {
		return nil, badSignature(err)
	}
	return cms, nil
}
