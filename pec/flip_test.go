package pec_test

import (
	"bytes"
	"encoding/base64"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/pec-milter/pec-milter/pec"
)

// signedExtent is where the signed part of a look-alike lies in its text.
func signedExtent(t *testing.T, text string) (start, end int) {
	t.Helper()
	start = strings.Index(text, "--outer_0\r\n") + len("--outer_0\r\n")
	end = strings.LastIndex(text, "\r\n--outer_0\r\nContent-Type: application/pkcs7-signature")
	if start < 20 || end < start {
		t.Fatal("no signed part")
	}
	return start, end
}

// flipped tells whether a text verifies with one bit changed. What cannot even be
// read does not.
func flipped(t *testing.T, text []byte, at, bit int) bool {
	t.Helper()
	text[at] ^= 1 << bit
	defer func() { text[at] ^= 1 << bit }()
	m, err := pec.ReadMessage(bytes.NewReader(text), int64(len(text)))
	if err != nil {
		return false
	}
	sig, err := pec.VerifySignature(m, nil)
	if (sig == nil) == (err == nil) {
		t.Fatalf("byte %d, bit %d: signature and error together, or neither: %v", at, bit, err)
	}
	return sig != nil
}

// TestFlipEveryBit: SG-02, each bit of each signed byte of a small message counts.
func TestFlipEveryBit(t *testing.T) {
	text := lookAlike{}.text(t)
	if !flippedNothing(t, text) {
		t.Fatal("the message does not verify as it is")
	}
	start, end := signedExtent(t, text)
	raw := []byte(text)
	step := min(slowdown, 8) // 1: each bit
	for at := start; at < end; at++ {
		for bit := at % step; bit < 8; bit += step {
			if flipped(t, raw, at, bit) {
				t.Errorf("verified with bit %d of byte %d changed, %q", bit, at-start, text[max(start, at-20):min(end, at+20)])
			}
		}
	}
}

func flippedNothing(t *testing.T, text string) bool {
	t.Helper()
	sig, err := verify(t, text)
	return err == nil && sig != nil
}

// TestFlipLarge: SG-02, 10,000 places of a large message, a bit each.
func TestFlipLarge(t *testing.T) {
	source := rand.New(rand.NewPCG(1, 2)) // the same places each time
	blob := make([]byte, 400<<10)
	for i := range blob {
		blob[i] = byte(source.Uint32())
	}
	text := lookAlike{original: strings.Replace(shortOriginal, "ciao\r\n", wrap(base64.StdEncoding.EncodeToString(blob)), 1)}.text(t)
	if len(text) < 500<<10 || !flippedNothing(t, text) {
		t.Fatalf("the message of %d bytes does not verify as it is", len(text))
	}
	start, end := signedExtent(t, text)
	raw := []byte(text)
	for range 10_000 / slowdown {
		at, bit := start+source.IntN(end-start), source.IntN(8)
		if flipped(t, raw, at, bit) {
			t.Errorf("verified with bit %d of byte %d changed, %q", bit, at-start, text[at-20:at+20])
		}
	}
}
