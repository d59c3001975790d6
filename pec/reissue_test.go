package pec_test

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/pec-milter/pec-milter/pec"
)

// TestReissue: the golden re-issue is a PEC notice like the one that it reproduces:
// signed, with the same certification data, and without the original.
func TestReissue(t *testing.T) {
	first, again := partsOf(t, "07-avvenuta-consegna-completa"), partsOf(t, "17-riemissione")
	if !bytes.Equal(first.data.XML(), again.data.XML()) {
		t.Errorf("certification data: got %s, want those of the first time: %s", again.data.XML(), first.data.XML())
	}
	if again.original != nil || first.original == nil {
		t.Errorf("the original is enclosed: %v, the first time %v", again.original != nil, first.original != nil)
	}
	if !again.signature.SigningTime.After(first.signature.SigningTime) {
		t.Errorf("signed at %v, the first time %v", again.signature.SigningTime, first.signature.SigningTime)
	}
	for name, want := range map[string]string{
		"X-Ricevuta": "avvenuta-consegna", "Date": "10 Jan 2028", "Message-ID": "pecriemissione1@",
		pec.HeaderReissue: "<notbbbbbbbbbbbbbbbbbbbb@pec.alfa.example>; Sat, 14 Mar 2026 10:26:53 +0100",
	} {
		if got := again.header.Get(name); !strings.Contains(got, want) {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}

type parts struct {
	header    pec.Header
	signature *pec.Signature
	data      *pec.CertificationData
	original  *pec.Part
}

func partsOf(t *testing.T, name string) parts {
	t.Helper()
	file, err := os.ReadFile("testdata/golden/" + name + "/want.eml")
	if err != nil {
		t.Fatal(err)
	}
	message, err := pec.ReadMessage(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	signature, err := pec.VerifySignature(message, nil)
	if err != nil {
		t.Fatal(err)
	}
	data, original, err := pec.Parts(signature)
	if err != nil {
		t.Fatal(err)
	}
	return parts{message.Header, signature, data, original}
}
