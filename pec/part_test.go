package pec_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/pec-milter/pec-milter/pec"
)

// onlyPart is the one part of a multipart made of this entity.
func onlyPart(t testing.TB, entity string) *pec.Part {
	t.Helper()
	root, err := pec.Structure(message(t, mixed+"preamble\n--b\n"+entity+"\n--b--\n"))
	if err != nil {
		t.Fatal(err)
	}
	return root.Parts[0]
}

func TestPartRaw(t *testing.T) {
	for _, test := range []struct {
		entity string
		fields int
	}{
		{"Content-Type: text/plain\nX:  y \n\nbody\n", 2},
		{"\nbody", 0},
		{"\n", 0},
		{"", 0},
		{"X: y\n", 1},
		{"X: y", 1},
	} {
		want := strings.ReplaceAll(test.entity, "\n", "\r\n")
		p := onlyPart(t, test.entity)
		if got := readBody(t, p.Raw()); got != want {
			t.Errorf("Raw() = %q, want %q", got, want)
		}
		if got := len(p.Header); got != test.fields {
			t.Errorf("header of %q has %d fields, want %d", want, got, test.fields)
		}
	}
}

func TestPartContent(t *testing.T) {
	for _, test := range []struct{ name, encoding, body, want string }{
		{"nothing said", "", "a=20b\n", "a=20b\r\n"},
		{"7bit with 8-bit bytes", "7bit", "perch\xe9", "perch\xe9"},
		{"8bit", "8BIT", "perch\xe9", "perch\xe9"},
		{"binary", "binary", "\x00\x01", "\x00\x01"},
		{"base64", "base64", "Y2Vy\ndGE=\n", "certa"},
		{"base64 without padding", "Base64", "Y2VydGE", "certa"},
		{"base64 with junk", "base64", " Y2\tVy\n*dGE= =\n-- \n", "certa"},
		{"empty base64", "base64", "\n", ""},
		{"quoted-printable", "quoted-printable", "perch=C3=a9 =\nno =\n", "perch\u00e9 no "},
		{"quoted-printable with junk", "Quoted-Printable", "a=b \xe9=", "a=b \xe9"},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := onlyPart(t, "Content-Transfer-Encoding: "+test.encoding+"\n\n"+test.body)
			got, err := io.ReadAll(p.Content())
			if err != nil || string(got) != test.want {
				t.Errorf("got %q, %v, want %q", got, err, test.want)
			}
		})
	}
}

func TestPartContentRefused(t *testing.T) {
	for _, test := range []struct{ name, encoding, body string }{
		{"unknown encoding", "x-uuencode", "begin"},
		{"base64 goes on after its padding", "base64", "Y2VydGE=Y2VydGE="},
		{"base64 with a letter too many", "base64", "Y2Vyd"},
		{"control character in quoted-printable", "quoted-printable", "\x01"},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := onlyPart(t, "Content-Transfer-Encoding: "+test.encoding+"\n\n"+test.body)
			if got, err := io.ReadAll(p.Content()); !errors.Is(err, pec.ErrEncoding) {
				t.Errorf("got %q, %v, want ErrEncoding", got, err)
			}
		})
	}
}

func TestPartContentReadingFails(t *testing.T) {
	for _, encoding := range []string{"7bit", "base64", "quoted-printable"} {
		m := message(t, "Content-Transfer-Encoding: "+encoding+"\n\n"+strings.Repeat("abcd", 20)+"\n")
		m.Body = brokenBody{m.Body}
		root, err := pec.Structure(m)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAll(root.Content()); !errors.Is(err, errDisk) || errors.Is(err, pec.ErrEncoding) {
			t.Errorf("%s: got %v, want the error of reading alone", encoding, err)
		}
	}
}

func TestPartName(t *testing.T) {
	for _, test := range []struct{ name, header, want string }{
		{"none", "X: y", ""},
		{"in Content-Type", "Content-Type: application/xml; NAME=daticert.xml", "daticert.xml"},
		{"in Content-Disposition", "Content-Disposition: attachment; filename=\"daticert.xml\"", "daticert.xml"},
		{"in both", "Content-Type: a/b; name=one\nContent-Disposition: inline; filename=two", "one"},
		{"encoded", "Content-Disposition: inline; filename*=UTF-8''perch%C3%A9", "perch\u00e9"},
		{"bad", "Content-Disposition: inline; filename=a b", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := onlyPart(t, test.header+"\n\n").Name(); got != test.want {
				t.Errorf("Name() = %q, want %q", got, test.want)
			}
		})
	}
}

func TestPartMessage(t *testing.T) {
	const inner = "Subject: inner\r\nX: perch\xc3\xa9\r\n\r\nbody\r\n"
	for _, test := range []struct{ name, encoding, body string }{
		{"8bit", "8bit", inner},
		{"base64", "base64", base64.StdEncoding.EncodeToString([]byte(inner))},
		{"quoted-printable", "quoted-printable", strings.ReplaceAll(strings.ReplaceAll(inner, "\xc3\xa9", "=C3=A9"), "\r", "")},
	} {
		t.Run(test.name, func(t *testing.T) {
			body := strings.ReplaceAll(test.body, "\r", "")
			m, err := onlyPart(t, "Content-Type: message/rfc822\nContent-Transfer-Encoding: "+test.encoding+"\n\n"+body).Message()
			if err != nil {
				t.Fatal(err)
			}
			if got := m.Header.String() + "\r\n" + readBody(t, m.Body); got != inner {
				t.Errorf("got %q, want %q", got, inner)
			}
		})
	}
}

func TestPartMessageRefused(t *testing.T) {
	if _, err := onlyPart(t, "\nSubject: x\n\n").Message(); !errors.Is(err, pec.ErrNotMessage) {
		t.Errorf("text/plain: got %v, want ErrNotMessage", err)
	}
	const attached = "Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\n"
	if _, err := onlyPart(t, attached+"Y").Message(); !errors.Is(err, pec.ErrEncoding) {
		t.Errorf("bad base64: got %v, want ErrEncoding", err)
	}
	huge := attached + strings.Repeat("QUJD", pec.MaxEncodedMessage/3+1)
	if _, err := onlyPart(t, huge).Message(); !errors.Is(err, pec.ErrEncoding) {
		t.Errorf("too large in base64: got %v, want ErrEncoding", err)
	}
	if _, err := onlyPart(t, "Content-Type: message/rfc822\n\nno header").Message(); !errors.Is(err, pec.ErrNoHeader) {
		t.Errorf("no header: got %v, want ErrNoHeader", err)
	}
}

func TestDigestSigned(t *testing.T) {
	digest := func(text string) [32]byte {
		sum, err := pec.DigestSigned(strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		return sum
	}
	long := strings.Repeat("x", 32<<10-1) // the CR is the last byte of what is read at a time
	for _, test := range []struct {
		name, text, canonical string
		same                  bool
	}{
		{"SG-32 LF", "a\n\nb\n", "a\r\n\r\nb\r\n", true},
		{"SG-32 CRLF and LF", "a\r\nb\n\r\n", "a\r\nb\r\n\r\n", true},
		{"long line", long + "\r\nb", long + "\nb", true},
		{"long line with LF", long + "x\nb", long + "x\r\nb", true},
		{"lone CR stays", "a\rb", "a\r\nb", false},
		{"SG-32 trailing white space counts", "a \n", "a\r\n", false},
		{"last line end counts", "a\n", "a", false},
	} {
		if got := digest(test.text) == digest(test.canonical); got != test.same {
			t.Errorf("%s: digests are equal: %v, want %v", test.name, got, test.same)
		}
	}
	const want = "58055bdcc73787eb88c78d36f0b4939e9c5dc1c3ad17e25cc85a6833cf1a0cab" // printf 'a\r\nb\r\n' | sha256sum
	if got := fmt.Sprintf("%x", digest("a\nb\n")); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if _, err := pec.DigestSigned(brokenBody{strings.NewReader(long)}); !errors.Is(err, errDisk) {
		t.Errorf("got %v, want the error of reading", err)
	}
}
