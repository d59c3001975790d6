package pec_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/pec-milter/pec-milter/internal/testpki"
	"github.com/pec-milter/pec-milter/pec"
)

// lookAlike is a message as real providers make them, in its variants. The zero
// value is the plainest one: an envelope.
type lookAlike struct {
	header      string              // fields before those of MIME; empty: those of an envelope
	contentType string              // parameters of multipart/signed beside the boundary
	partType    string              // type of the signature; empty: application/pkcs7-signature
	data        string              // daticert.xml as it stands there, with its MIME fields; empty: in base64
	original    string              // postacert.eml; empty: a short one
	swapped     bool                // postacert.eml before daticert.xml
	args        []string            // of openssl
	by          *testpki.Credential // nil: alfa
	change      func([]byte) []byte // of the signature
	content     func(string) string // of the signed content
	smime       bool                // openssl smime, not cms
	level       int                 // its boundaries are not those of another level
}

const envelopeHeader = "X-Trasporto: posta-certificata\r\nX-TipoRicevuta: completa\r\nFrom: \"Per conto di: mario@alfa.example\" <" + serviceAddress + ">\r\n" +
	"To: anna@beta.example\r\nSubject: POSTA CERTIFICATA: Perch=?utf-8?q?=C3=A9?=\r\nMessage-ID: <opec1@pec.alfa.example>\r\n" +
	"X-Riferimento-Message-ID: <m1@client.example>\r\n"

// envelopeData are the certification data that go with envelopeHeader.
func envelopeData() *pec.CertificationData {
	return &pec.CertificationData{
		Kind: pec.Envelope, Sender: "mario@alfa.example", Recipients: []pec.Recipient{{Address: "anna@beta.example", Kind: pec.Certified}},
		Subject: "Perch\u00e9", Provider: "Alfa PEC S.p.A.", Time: time.Now(), ID: "opec1@pec.alfa.example",
		Reference: "<m1@client.example>", ReceiptType: pec.Complete,
	}
}

func base64Data(xml []byte) string {
	return "Content-Type: application/xml; name=\"daticert.xml\"\r\nContent-Transfer-Encoding: base64\r\n" +
		"Content-Disposition: inline; filename=\"daticert.xml\"\r\n\r\n" + wrap(base64.StdEncoding.EncodeToString(xml))
}

const shortOriginal = "Content-Type: message/rfc822; name=\"postacert.eml\"\r\nContent-Disposition: inline; filename=\"postacert.eml\"\r\n\r\n" +
	"From: mario@alfa.example\r\nSubject: Perche'\r\n\r\nciao\r\n"

// text writes the whole message.
func (l lookAlike) text(t testing.TB) string {
	t.Helper()
	data, original := l.data, l.original
	if data == "" {
		data = base64Data(envelopeData().XML())
	}
	if original == "" {
		original = shortOriginal
	}
	parts := []string{"Content-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nIl giorno =E8 questo\r\n", data, original}
	if l.swapped {
		parts[1], parts[2] = parts[2], parts[1]
	}
	inner := fmt.Sprintf("inner_%d", l.level)
	content := "Content-Type: multipart/mixed; boundary=\"" + inner + "\"\r\n\r\n--" + inner + "\r\n" + strings.Join(parts, "\r\n--"+inner+"\r\n") + "\r\n--" + inner + "--\r\n"
	if l.content != nil {
		content = l.content(content)
	}
	by := l.by
	if by == nil {
		by = testSigners().alfa
	}
	signature := opensslSignWith(t, l.tool(), content, by, l.args...)
	if l.change != nil {
		signature = l.change(signature)
	}
	return l.signed(content, signature)
}

func (l lookAlike) tool() string {
	if l.smime {
		return "smime"
	}
	return "cms"
}

func (l lookAlike) signed(content string, signature []byte) string {
	header, partType := l.header, l.partType
	if header == "" {
		header = envelopeHeader
	}
	if partType == "" {
		partType = "application/pkcs7-signature"
	}
	outer := fmt.Sprintf("outer_%d", l.level)
	return header + "MIME-Version: 1.0\r\nContent-Type: multipart/signed;" + l.contentType + " boundary=\"" + outer + "\"\r\n\r\n" +
		"This is an S/MIME signed message\r\n\r\n--" + outer + "\r\n" + content + "\r\n--" + outer + "\r\nContent-Type: " + partType + "; name=\"smime.p7s\"\r\n" +
		"Content-Transfer-Encoding: base64\r\nContent-Disposition: attachment; filename=\"smime.p7s\"\r\n\r\n" +
		wrap(base64.StdEncoding.EncodeToString(signature)) + "\r\n--" + outer + "--\r\n"
}

// opensslSignWith is opensslSign by "cms" or "smime".
func opensslSignWith(t testing.TB, tool, content string, by *testpki.Credential, args ...string) []byte {
	t.Helper()
	if tool == "cms" {
		return opensslSign(t, content, by, args...)
	}
	chain, key := credentialFiles(t, by)
	command := exec.Command("openssl", append([]string{"smime", "-sign", "-binary", "-signer", chain, "-inkey", key, "-outform", "DER"}, args...)...)
	command.Stdin = strings.NewReader(content)
	out, err := command.Output()
	if err != nil {
		t.Fatalf("openssl smime: %v", err)
	}
	return out
}

// lookAlikeTrust trusts alfa for alfa.example and its service address, and beta
// for beta.example.
func lookAlikeTrust(t testing.TB) *pec.Trust {
	t.Helper()
	trust, s := goodTrust(t), testSigners()
	alfa, beta := record("Alfa PEC S.p.A.", s.alfa.Certificate(), s.ecdsa.Certificate()), record("Beta PEC S.p.A.", s.beta.Certificate())
	alfa.Domains, beta.Domains = []string{"alfa.example", "pec.alfa.example"}, []string{"beta.example", "pec.beta.example"}
	trust.Directory = listing{alfa, beta}
	return trust
}

// verified verifies a text as if it arrived now.
func verified(t testing.TB, text string, by pec.Verification) *pec.Report {
	t.Helper()
	if by.Trust == nil {
		by.Trust = lookAlikeTrust(t)
	}
	if by.Now.IsZero() {
		by.Now = time.Now()
	}
	r, err := pec.Verify(rawMessage(t, text), by)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// outcome are the checks of a report, those that went well left out.
func outcome(r *pec.Report) string {
	var all []string
	for _, c := range r.Checks {
		if c.Result != pec.Passed {
			all = append(all, fmt.Sprintf("%s: %s: %s", c.Step, c.Result, c.Detail))
		}
	}
	return strings.Join(all, "\n")
}

// nested is a message of PEC inside so many envelopes.
func nested(t testing.TB, deep int) string {
	text := lookAlike{}.text(t)
	for level := range deep {
		text = lookAlike{level: level + 1, original: "Content-Type: message/rfc822; name=\"postacert.eml\"\r\n\r\n" + forwarded(text)}.text(t)
	}
	return text
}

// forwarded is an ordinary message that carries another one.
func forwarded(text string) string {
	boundary := fmt.Sprintf("forward%d", len(text))
	return "From: mario@alfa.example\r\nSubject: Fwd\r\nContent-Type: multipart/mixed; boundary=" + boundary + "\r\n\r\n--" + boundary +
		"\r\n\r\nsee below\r\n--" + boundary + "\r\nContent-Type: message/rfc822\r\n\r\n" + text + "\r\n--" + boundary + "--\r\n"
}

// TestShapes: what peers send, all of it genuine: RULES of the wire in
// docs/quirks.md. The incoming door's Classify agrees.
func TestShapes(t *testing.T) {
	xml := bytes.ReplaceAll(envelopeData().XML(), []byte("\n"), []byte("\r\n"))
	named := func(fields string) string {
		return "Content-Type: application/xml; name=daticert.xml\r\n" + fields + "\r\n"
	}
	quoted := strings.NewReplacer("=", "=3D", "\u00e9", "=C3=A9").Replace(string(xml))
	for _, test := range []struct {
		name string
		lookAlike
	}{
		{"SG-01 plainest", lookAlike{}},
		{"all parameters", lookAlike{contentType: ` protocol="application/pkcs7-signature"; micalg="sha-256";`}},
		{"x-pkcs7", lookAlike{contentType: ` protocol="application/x-pkcs7-signature"; micalg=sha1;`, partType: "application/x-pkcs7-signature"}},
		{"micalg SHA256", lookAlike{contentType: " micalg=SHA256;"}},
		{"micalg sha256", lookAlike{contentType: " micalg=sha256;"}},
		{"micalg sha1", lookAlike{contentType: " micalg=\"sha1\";"}},
		{"micalg sha-1", lookAlike{contentType: " micalg=sha-1;"}},
		{"SG-24 micalg md5 is not what was signed with", lookAlike{contentType: " micalg=md5;"}},
		{"micalg empty", lookAlike{contentType: ` micalg="";`}},
		{"SG-25 BER", lookAlike{change: func(der []byte) []byte { return indefinite(der, 99) }}},
		{"SG-25 BER outside alone", lookAlike{change: func(der []byte) []byte { return indefinite(der, 3) }}},
		{"original first", lookAlike{swapped: true}},
		{"daticert quoted-printable", lookAlike{data: named("Content-Transfer-Encoding: quoted-printable\r\n") + quoted}},
		{"daticert 8bit", lookAlike{data: named("Content-Transfer-Encoding: 8bit\r\n") + string(xml)}},
		{"daticert 8bit in a part that says 7bit", lookAlike{data: named("Content-Transfer-Encoding: 7bit\r\n") + string(xml)}},
		{"daticert attached, text/xml, name in the disposition alone", lookAlike{
			data: "Content-Type: text/xml\r\nContent-Disposition: attachment; filename=\"DATICERT.XML\"\r\n\r\n" + string(xml)}},
		{"certdata.xml", lookAlike{data: strings.ReplaceAll(base64Data(xml), "daticert", "certdata")}},
		{"daticert with a byte order mark", lookAlike{data: named("Content-Transfer-Encoding: 8bit\r\n") + "\ufeff" + string(xml)}},
		{"SG-24 SHA-1", lookAlike{args: []string{"-md", "sha1"}}},
		{"SHA-512", lookAlike{args: []string{"-md", "sha512"}}},
		{"PSS", lookAlike{args: []string{"-keyopt", "rsa_padding_mode:pss"}}},
		{"key identifier", lookAlike{args: []string{"-keyid"}}},
		{"no attributes", lookAlike{args: []string{"-noattr"}}},
		{"ECDSA", lookAlike{by: testSigners().ecdsa}},
		{"openssl smime", lookAlike{smime: true}},
		{"authorities inside", lookAlike{args: []string{"-certfile", certificateFile(t, testSigners().issuing.Certificate(), testSigners().root.Certificate())}}},
		{"To that no parser takes", lookAlike{header: strings.Replace(envelopeHeader, "To: anna", "To: \"Rossi, <<anna>>, @;:\\\xe8 <anna", 1)}},
		{"no To", lookAlike{header: strings.Replace(envelopeHeader, "To: anna@beta.example\r\n", "", 1)}},
		{"From in another case", lookAlike{header: strings.Replace(envelopeHeader, "<posta-certificata", "<Posta-Certificata", 1)}},
		{"X-Trasporto in capitals", lookAlike{header: strings.Replace(envelopeHeader, "posta-certificata\r\n", "POSTA-CERTIFICATA\r\n", 1)}},
		{"8-bit original", lookAlike{original: strings.Replace(shortOriginal, "ciao", "perch\xe9", 1)}},
	} {
		t.Run(test.name, func(t *testing.T) {
			text := test.text(t)
			for name, text := range map[string]string{"CRLF": text, "SG-32 LF": strings.ReplaceAll(text, "\r\n", "\n")} {
				checkGenuine(t, name, text)
			}
		})
	}
}

func checkGenuine(t *testing.T, name, text string) {
	t.Helper()
	trust := lookAlikeTrust(t)
	r := verified(t, text, pec.Verification{Trust: trust})
	if !r.Genuine() || r.Kind != pec.Envelope || r.Provider == nil || r.Data == nil || r.Original == nil || !r.Correct() {
		t.Fatalf("%s: kind %q, provider %v: not genuine\n%s", name, r.Kind, r.Provider, outcome(r))
	}
	if r.Data.Subject != "Perch\u00e9" {
		t.Errorf("%s: subject is %q", name, r.Data.Subject)
	}
	c, err := pec.Classify(rawMessage(t, text), trust, time.Now())
	if err != nil || !c.Correct() || c.Provider == nil || c.Provider.Name != r.Provider.Name {
		t.Errorf("%s: Classify says %v, %v", name, c.Problems, err)
	}
	if weak := r.Check(pec.StepDigest).Result == pec.Warned; weak != r.Signature.Weak {
		t.Errorf("%s: digest is %v, weak %v", name, r.Check(pec.StepDigest), r.Signature.Weak)
	}
}

// TestShapeNested: PEC in PEC, three deep.
func TestShapeNested(t *testing.T) {
	text := nested(t, pec.MaxNested)
	checkGenuine(t, "nested", text)
}
