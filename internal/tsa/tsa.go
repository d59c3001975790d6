// Package tsa asks a time-stamping authority for time stamps and verifies them:
// RFC 3161. It has no clock and no random numbers of its own.
//
// An answer is believed only if it is for the very hash that was sent, with the
// nonce, and signed by a certificate for time stamping (RFC 3161 section 2.3)
// that leads to the configured authorities and was valid then.
package tsa

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"slices"
	"time"

	"github.com/digitorus/pkcs7"
	"github.com/digitorus/timestamp"
)

// Authority is a time-stamping authority.
type Authority struct {
	URL string
	// Roots are the authorities that its certificate must lead to.
	Roots *x509.CertPool
	// Policy is the policy to ask for, and then required; nil: any.
	Policy asn1.ObjectIdentifier
	// Timeout is how long it may take to answer.
	Timeout time.Duration
	// Rand gives the nonces: crypto/rand.Reader.
	Rand io.Reader
}

// Stamp is a time stamp that verifies.
type Stamp struct {
	Time   time.Time
	Signer *x509.Certificate
	Policy asn1.ObjectIdentifier
	nonce  *big.Int
}

// ErrBadStamp means that a time stamp does not hold. It is wrapped with the
// reason.
var ErrBadStamp = errors.New("time stamp is not valid")

// bounds of an answer.
const (
	maxAnswer = 1 << 20     // bytes
	maxSkew   = time.Minute // between its time and ours
)

// Ask has a digest (SHA-256) stamped, and gives the whole answer (TimeStampResp,
// DER), which holds now. An authority that answers with something else wraps
// ErrBadStamp; any other error means that there is no answer.
func (a *Authority) Ask(ctx context.Context, digest [32]byte, now time.Time) ([]byte, error) {
	random := make([]byte, 8)
	if _, err := io.ReadFull(a.Rand, random); err != nil {
		return nil, fmt.Errorf("drawing a nonce: %w", err)
	}
	nonce := new(big.Int).SetBytes(random)
	request, err := (&timestamp.Request{
		HashAlgorithm: crypto.SHA256, HashedMessage: digest[:], Certificates: true, TSAPolicyOID: a.Policy, Nonce: nonce,
	}).Marshal()
	if err != nil {
		return nil, fmt.Errorf("writing the request: %w", err)
	}
	answer, err := a.post(ctx, request)
	if err != nil {
		return nil, fmt.Errorf("time-stamping authority %s: %w", a.URL, err)
	}
	stamp, err := a.Verify(answer, digest)
	if err == nil {
		err = stamp.answers(nonce, now)
	}
	if err != nil {
		return nil, fmt.Errorf("time-stamping authority %s: %w", a.URL, err)
	}
	return answer, nil
}

// answers tells whether the stamp was made for one request, now.
func (s *Stamp) answers(nonce *big.Int, now time.Time) error {
	switch {
	case s.nonce == nil || s.nonce.Cmp(nonce) != 0:
		return bad("the answer is not to our request: its nonce differs")
	case s.Time.Sub(now).Abs() > maxSkew:
		return bad("its time is %s, ours %s", s.Time.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339))
	}
	return nil
}

func (a *Authority) post(ctx context.Context, request []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, a.Timeout)
	defer cancel()
	post, err := http.NewRequestWithContext(ctx, http.MethodPost, a.URL, bytes.NewReader(request))
	if err != nil {
		return nil, err
	}
	post.Header.Set("Content-Type", "application/timestamp-query") // RFC 3161 section 3.4
	response, err := http.DefaultClient.Do(post)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("it answers %s", response.Status)
	}
	answer, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	if err == nil && len(answer) > maxAnswer {
		err = fmt.Errorf("its answer is over %d bytes", maxAnswer)
	}
	return answer, err
}

// Verify verifies an answer of the authority, as of the time that it says. The
// error wraps ErrBadStamp.
func (a *Authority) Verify(answer []byte, digest [32]byte) (*Stamp, error) {
	read, err := timestamp.ParseResponse(answer)
	if err != nil {
		return nil, bad("%w", err)
	}
	switch {
	case read.HashAlgorithm != crypto.SHA256 || !bytes.Equal(read.HashedMessage, digest[:]):
		return nil, bad("it is for something else: its hash is %x", read.HashedMessage)
	case a.Policy != nil && !read.Policy.Equal(a.Policy):
		return nil, bad("its policy is %v, not %v", read.Policy, a.Policy)
	}
	signer, err := a.signer(read)
	if err != nil {
		return nil, err
	}
	return &Stamp{Time: read.Time, Signer: signer, Policy: read.Policy, nonce: read.Nonce}, nil
}

// signer verifies who signed the stamp. The library checks signatures only where
// a certificate is inside, and no certificate.
func (a *Authority) signer(read *timestamp.Timestamp) (*x509.Certificate, error) {
	token, err := pkcs7.Parse(read.RawToken)
	if err != nil {
		return nil, bad("%w", err)
	}
	signer := token.GetOnlySigner()
	if signer == nil {
		return nil, bad("it has no certificate of one signer inside")
	}
	if err := token.VerifyWithChainAtTime(a.Roots, read.Time); err != nil {
		return nil, bad("the certificate of %s: %w", signer.Subject, err)
	}
	if !forStampsAlone(signer) {
		return nil, bad("the certificate of %s is not for time stamping alone", signer.Subject)
	}
	if read.Time.Before(signer.NotBefore) || read.Time.After(signer.NotAfter) {
		return nil, bad("the certificate of %s was not valid at %s", signer.Subject, read.Time.UTC().Format(time.RFC3339))
	}
	return signer, nil
}

// forStampsAlone: extended key usage timeStamping, alone and critical.
func forStampsAlone(c *x509.Certificate) bool {
	return slices.Equal(c.ExtKeyUsage, []x509.ExtKeyUsage{x509.ExtKeyUsageTimeStamping}) && len(c.UnknownExtKeyUsage) == 0 &&
		slices.ContainsFunc(c.Extensions, func(e pkix.Extension) bool {
			return e.Critical && e.Id.Equal(asn1.ObjectIdentifier{2, 5, 29, 37})
		})
}

func bad(format string, values ...any) error {
	return fmt.Errorf("%w: %w", ErrBadStamp, fmt.Errorf(format, values...))
}
