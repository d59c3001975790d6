package pec

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"flag"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

var update = flag.Bool("update", false, "write want.eml of the golden cases anew")

// goldenCase is case.json of a directory in testdata/golden: one of the three
// says what is built. in.eml, where it is there, is the message that goes in.
type goldenCase struct {
	Envelope *CertificationData
	Anomaly  *CertificationData
	Notice   *Notice
	Reissue  *Reissue // of the notice
}

// TestGolden: each message of testdata/golden is issued again byte for byte; IN-01,
// the subject with a line end, is one of them.
func TestGolden(t *testing.T) {
	cases, err := filepath.Glob("testdata/golden/*/case.json")
	if err != nil || len(cases) < 10 {
		t.Fatalf("golden cases: got %d (%v), want at least 10", len(cases), err)
	}
	by := testIssuer(t)
	for _, path := range cases {
		dir := filepath.Dir(path)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			got := buildGolden(t, dir, by)
			compareGolden(t, dir, got)
			judgeSignature(t, dir)
			judgeCertificationData(t, dir)
		})
	}
}

func testIssuer(t testing.TB) Issuer {
	t.Helper()
	key, err := x509.ParsePKCS8PrivateKey(readPEM(t, "testdata/pki/alfa.key"))
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(readPEM(t, "testdata/pki/alfa.pem"))
	if err != nil {
		t.Fatal(err)
	}
	return Issuer{
		Name: "Alfa PEC S.p.A.", Address: "posta-certificata@pec.alfa.example",
		Key: key.(crypto.Signer), Chain: []*x509.Certificate{certificate}, Seed: []byte("0123456789abcdef"),
	}
}

func readPEM(t testing.TB, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(data)
	return block.Bytes
}

func buildGolden(t *testing.T, dir string, by Issuer) []byte {
	t.Helper()
	var c goldenCase
	data, err := os.ReadFile(filepath.Join(dir, "case.json"))
	if err == nil {
		err = json.Unmarshal(data, &c)
	}
	if err != nil {
		t.Fatal(err)
	}
	draft, err := draftGolden(t, dir, c, by)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := draft.Sign(by)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if _, err := signed.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	if size := int64(len(signed.Header.String())) + 2 + signed.BodySize(); size != int64(b.Len()) {
		t.Errorf("BodySize and header give %d bytes, written were %d", size, b.Len())
	}
	return b.Bytes()
}

func draftGolden(t *testing.T, dir string, c goldenCase, by Issuer) (*Draft, error) {
	in, err := os.ReadFile(filepath.Join(dir, "in.eml"))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	if c.Notice != nil {
		if in != nil {
			c.Notice.Original = enclosedGolden(t, c.Notice.Type, in)
		}
		if c.Reissue != nil {
			return NewReissue(*c.Notice, *c.Reissue, by)
		}
		return NewNotice(*c.Notice, by)
	}
	message := readTestMessage(t, in)
	if c.Anomaly != nil {
		return NewAnomaly(message, *c.Anomaly, by)
	}
	c.Envelope.Subject, c.Envelope.Reference = Subject(message.Header), MessageID(message.Header)
	return NewEnvelope(message, *c.Envelope, by)
}

// enclosedGolden is what a delivery notice of that type encloses.
func enclosedGolden(t *testing.T, kind ReceiptType, original []byte) Body {
	t.Helper()
	if kind != Brief {
		return bytes.NewReader(original)
	}
	brief, whole, err := BriefOriginal(bytes.NewReader(original), false)
	if err != nil || whole != "" {
		t.Fatalf("brief form: %v, left whole: %q", err, whole)
	}
	return brief
}

func readTestMessage(t testing.TB, data []byte) Message {
	t.Helper()
	m, err := ReadMessage(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func compareGolden(t *testing.T, dir string, got []byte) {
	t.Helper()
	path := filepath.Join(dir, "want.eml")
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		os.WriteFile(filepath.Join(dir, "out.got"), got, 0o644)
		t.Errorf("message differs from %s: see out.got beside it", path)
	}
}

// judgeSignature is the second judge: openssl must accept what we sign.
func judgeSignature(t *testing.T, dir string) {
	t.Helper()
	out, err := exec.Command("openssl", "cms", "-verify", "-in", filepath.Join(dir, "want.eml"),
		"-CAfile", "testdata/pki/ca.pem", "-purpose", "smimesign", "-out", os.DevNull).CombinedOutput()
	if err != nil {
		t.Errorf("openssl cms -verify: %v\n%s", err, out)
	}
}

// judgeCertificationData is the second judge of the XML: the RFC's DTD.
func judgeCertificationData(t *testing.T, dir string) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, "want.eml"))
	if err != nil {
		t.Fatal(err)
	}
	root, err := Structure(readTestMessage(t, data))
	if err != nil {
		t.Fatal(err)
	}
	parts := root.Parts[0].namedAll(CertificationDataName)
	if len(parts) != 1 {
		if readTestMessage(t, data).Header.Get(HeaderTransport) != string(Anomaly) {
			t.Error("no " + CertificationDataName)
		}
		return
	}
	xml := filepath.Join(t.TempDir(), CertificationDataName)
	content, err := io.ReadAll(parts[0].Content())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(xml, content, 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("xmllint", "--noout", "--dtdvalid", "testdata/postacert.dtd", xml).CombinedOutput()
	if err != nil {
		t.Errorf("xmllint: %v\n%s", err, out)
	}
	if _, err := ParseCertificationData(bytes.NewReader(content)); err != nil {
		t.Error(err)
	}
}
