package pec

import (
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"strings"
	"time"
)

// Issuer is who signs a PEC message.
type Issuer struct {
	Name    string              // providerName of the directory: gestore-emittente
	Address string              // service address, the certificate's rfc822Name: From
	Key     crypto.Signer       // RSA, PKCS#1 v1.5; ECDSA is possible
	Chain   []*x509.Certificate // signing certificate first, then its intermediates
	// Seed makes the MIME boundaries: nobody outside may guess them, and the
	// same seed gives the same bytes again. At least 16 bytes.
	Seed []byte
}

// Draft is a PEC message before it is signed.
type Draft struct {
	Header Header // without the MIME fields
	data   CertificationData
	at     time.Time // when it is signed; zero: the time of data
	text   string    // readable, UTF-8, LF
	xml    []byte    // daticert.xml; nil in an anomaly envelope
	// attached is the message that is enclosed, in pieces; none where there is none.
	attached []Body
	eightBit bool // attached has bytes over 127
}

// Signed is a signed PEC message, ready to be sent. Its body is not in memory:
// it is written from its parts, always the same bytes.
type Signed struct {
	Header Header
	// Digest is the SHA-256 of the signed content.
	Digest [32]byte
	body   []Body
}

// Sign signs the draft: multipart/signed, detached, SHA-256 (RFC 6109 section
// 2.1). The signing time is the time of the certification data, but for a re-issue. The attached
// message is read twice, here and when the body is written. Errors are those
// of the key, ErrSelfCheck, or of reading the attached message.
func (d *Draft) Sign(by Issuer) (*Signed, error) {
	boundary := boundaries(by.Seed)
	content, err := d.content(boundary("mixed"), boundary("alternative"))
	if err != nil {
		return nil, err
	}
	digest, err := digestOf(content)
	if err != nil {
		return nil, fmt.Errorf("reading the attached message: %w", err)
	}
	at := d.data.Time
	if !d.at.IsZero() {
		at = d.at
	}
	signature, err := SignDetached(digest, by.Key, by.Chain, LegalTime(at))
	if err != nil {
		return nil, err
	}
	outer := boundary("signed")
	header := append(d.Header[:len(d.Header):len(d.Header)],
		NewField("MIME-Version", "1.0"),
		NewField("Content-Type", `multipart/signed; protocol="application/pkcs7-signature";`+
			"\r\n micalg=\"sha-256\"; boundary=\""+outer+`"`),
		NewField("Content-Transfer-Encoding", d.encoding()))
	return &Signed{header, digest, signedBody(outer, content, signature)}, nil
}

// boundaries gives boundaries that nobody can guess who does not know the seed.
func boundaries(seed []byte) func(part string) string {
	return func(part string) string {
		sum := sha256.Sum256(append([]byte(part+"\x00"), seed...))
		return "----=_pec_" + hex.EncodeToString(sum[:16])
	}
}

// signedBody puts the signature behind the content.
func signedBody(boundary string, content []Body, signature []byte) []Body {
	body := []Body{text("This is an S/MIME signed message\r\n\r\n--" + boundary + "\r\n")}
	body = append(body, content...)
	return append(body, text("\r\n--"+boundary+"\r\n"+
		"Content-Type: application/pkcs7-signature; name=\"smime.p7s\"\r\n"+
		"Content-Transfer-Encoding: base64\r\n"+
		"Content-Disposition: attachment; filename=\"smime.p7s\"\r\n"+
		"Content-Description: S/MIME Cryptographic Signature\r\n\r\n"+
		base64Lines(signature)+"\r\n--"+boundary+"--\r\n"))
}

// digestOf is the SHA-256 of bodies one after the other.
func digestOf(bodies []Body) (sum [32]byte, err error) {
	hash := sha256.New()
	if err := writeBodies(hash, bodies); err != nil {
		return sum, err
	}
	return [32]byte(hash.Sum(nil)), nil
}

func writeBodies(w io.Writer, bodies []Body) error {
	for _, b := range bodies {
		if _, err := copyBody(w, b); err != nil {
			return err
		}
	}
	return nil
}

func text(s string) Body { return strings.NewReader(s) }

// base64Lines is base64 in lines of 76 characters with CRLF.
func base64Lines(data []byte) string {
	encoded := base64.StdEncoding.EncodeToString(data)
	var b strings.Builder
	for len(encoded) > 76 {
		b.WriteString(encoded[:76] + "\r\n")
		encoded = encoded[76:]
	}
	b.WriteString(encoded + "\r\n")
	return b.String()
}

// BodySize is the length of the body in bytes.
func (s *Signed) BodySize() int64 {
	var size int64
	for _, b := range s.body {
		size += b.Size()
	}
	return size
}

// Size is the length of the whole message in bytes, as WriteTo writes it.
func (s *Signed) Size() int64 { return int64(len(s.Header.String())) + 2 + s.BodySize() }

// WriteBody writes the body, with CRLF line ends.
func (s *Signed) WriteBody(w io.Writer) error { return writeBodies(w, s.body) }

// WriteTo writes the whole message: header, empty line, body.
func (s *Signed) WriteTo(w io.Writer) (int64, error) {
	count := &countingWriter{w: w}
	if _, err := io.WriteString(count, s.Header.String()+"\r\n"); err != nil {
		return count.n, err
	}
	err := s.WriteBody(count)
	return count.n, err
}

// countingWriter counts what passes through it.
type countingWriter struct {
	w io.Writer
	n int64
}

func (c *countingWriter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}
