package pec_test

import (
	"crypto"
	"crypto/rand"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/pec-milter/pec-milter/internal/testpki"
	"github.com/pec-milter/pec-milter/pec"
)

// flippingKey flips a bit of each signature that it makes.
type flippingKey struct {
	crypto.Signer
	bit int // from the end
}

func (k flippingKey) Sign(random io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	signature, err := k.Signer.Sign(random, digest, opts)
	signature[len(signature)-1-k.bit/8] ^= 1 << (k.bit % 8)
	return signature, err
}

// TestSelfCheck: OP-09, a device that gives a wrong signature, or signs with
// another key.
func TestSelfCheck(t *testing.T) {
	at := time.Now().UTC().Truncate(time.Second)
	ca, err := testpki.NewRoot(testpki.Source{Now: at, Rand: rand.Reader}, "Test CA")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ca.NewProvider("Alfa", "posta-certificata@alfa.example")
	if err != nil {
		t.Fatal(err)
	}
	other, err := ca.NewProvider("Beta", "posta-certificata@beta.example")
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []crypto.Signer{flippingKey{signer.Key, 0}, flippingKey{signer.Key, 1001}, other.Key} {
		signature, err := pec.SignDetached([32]byte{}, key, signer.Chain, at)
		if !errors.Is(err, pec.ErrSelfCheck) || signature != nil {
			t.Errorf("SignDetached with %T = %d bytes, %v; want none, and ErrSelfCheck", key, len(signature), err)
		}
	}
}
