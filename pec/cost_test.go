package pec_test

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/pec-milter/pec-milter/pec"
)

// work is one thing that this package does with a message.
type work struct {
	name string
	// most is the bound of its allocations: what was counted, and a tenth more. A
	// change that needs more says why in its commit.
	most float64
	do   func() error
}

// TestAllocations: no message takes more allocations than it did. They are counted
// and not timed, so that the machine has no say.
func TestAllocations(t *testing.T) {
	for _, w := range works(t) {
		t.Run(w.name, func(t *testing.T) {
			var failed error
			got := testing.AllocsPerRun(20, func() {
				if err := w.do(); err != nil {
					failed = err
				}
			})
			if failed != nil {
				t.Fatal(failed)
			}
			if got > w.most {
				t.Errorf("%v allocations, want at most %v", got, w.most)
			}
		})
	}
}

// BenchmarkMessage has the time of each thing: go test -bench Message -benchmem ./pec.
func BenchmarkMessage(b *testing.B) {
	for _, w := range works(b) {
		b.Run(w.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := w.do(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// works are done with a message of 10 KB, and some with one of 1 MB: what they
// allocate must not grow with it.
func works(t testing.TB) []work {
	s := testSigners()
	by := pec.Issuer{
		Name: "Alfa", Address: serviceAddress, Key: s.alfa.Key, Chain: s.alfa.Chain, Seed: []byte("0123456789abcdef"),
	}
	data := pec.CertificationData{
		Sender: "mario@alfa.example", Recipients: []pec.Recipient{{Address: "anna@beta.example", Kind: pec.Certified}},
		ReplyTo: "mario@alfa.example", Subject: "Offerta", Provider: "Alfa", Time: time.Now().Truncate(time.Second),
		ID: "x@alfa.example", Reference: "<m1@client.example>", ReceiptType: pec.Complete,
	}
	acceptance := pec.Notice{Data: data, ID: "n@alfa.example", To: data.Sender, Subject: " Offerta"}
	acceptance.Data.Kind = pec.Acceptance
	smallText, largeText := costText(10_000), costText(1_000_000)
	small, large := rawMessage(t, smallText), rawMessage(t, largeText)
	draft, draftLarge := must(pec.NewEnvelope(small, data, by)), must(pec.NewEnvelope(large, data, by))
	notice := must(pec.NewNotice(acceptance, by))
	envelope, envelopeLarge := written(t, must(draft.Sign(by))), written(t, must(draftLarge.Sign(by)))
	trust, now, xml := goodTrust(t), time.Now(), acceptance.Data.XML()
	trust.Directory = listing{{Name: "Alfa", Certificates: s.alfa.Chain[:1], Domains: []string{"alfa.example", "pec.alfa.example"}}}
	return []work{
		{"envelope", 153, func() error { _, err := pec.NewEnvelope(small, data, by); return err }},
		{"envelope of 1 MB", 153, func() error { _, err := pec.NewEnvelope(large, data, by); return err }},
		{"notice", 108, func() error { _, err := pec.NewNotice(acceptance, by); return err }},
		{"sign", 360, func() error { _, err := draft.Sign(by); return err }},
		{"sign 1 MB", 360, func() error { _, err := draftLarge.Sign(by); return err }},
		{"sign a notice", 355, func() error { _, err := notice.Sign(by); return err }},
		{"verify", 590, func() error { _, err := pec.VerifySignature(envelope, nil); return err }},
		{"verify 1 MB", 590, func() error { _, err := pec.VerifySignature(envelopeLarge, nil); return err }},
		{"classify", 1080, func() error { return correct(pec.Classify(envelope, trust, now)) }},
		{"certification data written", 58, func() error { acceptance.Data.XML(); return nil }},
		{"certification data read", 205, func() error { _, err := pec.ParseCertificationData(bytes.NewReader(xml)); return err }},
		{"breve", 197, func() error { return brief(smallText) }},
		{"breve of 1 MB", 197, func() error { return brief(largeText) }},
	}
}

// costText is a message with an attachment of that many bytes.
func costText(size int) string {
	return "From: mario@alfa.example\r\nTo: anna@beta.example\r\nSubject: Offerta\r\nMessage-ID: <m1@client.example>\r\n" +
		"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nIn allegato.\r\n--b\r\n" +
		"Content-Type: application/pdf; name=offerta.pdf\r\nContent-Transfer-Encoding: base64\r\n" +
		"Content-Disposition: attachment; filename=offerta.pdf\r\n\r\n" +
		strings.Repeat(strings.Repeat("QUJD", 19)+"\r\n", size/78) + "--b--\r\n"
}

// written is a signed message as it is received.
func written(t testing.TB, s *pec.Signed) pec.Message {
	t.Helper()
	var b strings.Builder
	if _, err := s.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	return rawMessage(t, b.String())
}

// correct makes sure that what is measured is the whole way of a good message.
func correct(c *pec.Classification, err error) error {
	if err == nil && !c.Correct() {
		err = fmt.Errorf("not correct: %v", c.Problems)
	}
	return err
}

func brief(text string) error {
	brief, whole, err := pec.BriefOriginal(strings.NewReader(text), false)
	if err != nil {
		return err
	}
	if whole != "" {
		return fmt.Errorf("left whole: %s", whole)
	}
	_, err = io.Copy(io.Discard, io.NewSectionReader(brief, 0, brief.Size()))
	return err
}
