package pec_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pec-milter/pec-milter/pec"
)

// walk names the places of what is found, with what is around it, and what could
// not be looked into.
func walk(t testing.TB, text string) []string {
	t.Helper()
	trust := lookAlikeTrust(t)
	var places []string
	err := pec.WalkPEC(rawMessage(t, text), func(f pec.Found) error {
		line := fmt.Sprintf("%q", f.Place)
		if !f.Outermost() {
			line += fmt.Sprintf(" in %q", f.Within)
		}
		if f.Bare {
			line += " bare"
		}
		if f.Err != nil {
			places = append(places, line+" skipped")
			return nil
		}
		r, err := pec.Verify(f.Message, pec.Verification{Trust: trust, Now: time.Now(), Root: f.Root, Bare: f.Bare})
		places = append(places, fmt.Sprintf("%s %s %v", line, r.Kind, r.Genuine()))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return places
}

// listed is what a mailing list makes of a message: the signed part, with a
// footer, under fields of its own.
func listed(text string) string {
	_, signed, _ := strings.Cut(text, "MIME-Version: 1.0\r\n")
	return "From: mario via lista <lista@list.example>\r\nSubject: [lista] x\r\nContent-Type: multipart/mixed; boundary=list\r\n\r\n--list\r\n" +
		signed + "\r\n--list\r\nContent-Type: text/plain\r\n\r\nlista mailing list\r\n--list--\r\n"
}

// attachedAs is a forward with the message encoded, or as a file.
func attachedAs(fields, text string) string {
	return "From: mario@alfa.example\r\nContent-Type: multipart/mixed; boundary=att\r\n\r\n--att\r\n\r\nx\r\n--att\r\n" + fields + "\r\n" + text + "\r\n--att--\r\n"
}

// TestWalkPEC: PEC messages inside others, with their places.
func TestWalkPEC(t *testing.T) {
	plain := lookAlike{}.text(t)
	encoded := wrap(base64.StdEncoding.EncodeToString([]byte(plain)))
	const genuine, forged = " posta-certificata true", " posta-certificata false"
	for _, test := range []struct {
		name, text string
		want       []string
	}{
		{"itself", plain, []string{`""` + genuine}},
		{"changed", replaced("Il giorno", "Il giomo")(plain), []string{`""` + forged}},
		{"ordinary", "Subject: x\r\n\r\nhello\r\n", nil},
		{"ordinary, signed", "From: x@y.example\r\n" + signedMessage(strings.ReplaceAll(signedContent, "daticert", "data"), nil), nil},
		{"only a claim", "X-Ricevuta: accettazione\r\n\r\nhello\r\n", []string{`"" accettazione false`}},
		{"a claim with a structure that is refused", "X-Ricevuta: accettazione\r\nContent-Type: multipart/mixed\r\n\r\nhello\r\n", []string{`"" accettazione false`}},
		{"forwarded", forwarded(plain), []string{`"2"` + genuine}},
		{"SG-04 forwarded and changed", replaced("Il giorno", "Il giomo")(forwarded(plain)), []string{`"2"` + forged}},
		{"of a mailing list", listed(plain), []string{`"1" bare` + genuine}},
		{"of a mailing list, forwarded", forwarded(listed(plain)), []string{`"2.1" bare` + genuine}},
		{"forwarded in base64", attachedAs("Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n", encoded), []string{`"2"` + genuine}},
		{"as a file", attachedAs("Content-Type: application/octet-stream; name=\"POSTA.EML\"\r\nContent-Transfer-Encoding: base64\r\n", encoded), []string{`"2"` + genuine}},
		{"a file that does not decode", attachedAs("Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n", "*=*A"), []string{`"2" skipped`}},
		{"a file that is no message", attachedAs("Content-Type: message/rfc822\r\n", "hello"), []string{`"2" skipped`}},
		{"forwarded twice", forwarded(forwarded(plain)), []string{`"2.2"` + genuine}},
		{"forwarded by PEC", nested(t, 1), []string{`""` + genuine, `"1.3.2" in ""` + genuine}},
		{"original with a forged claim", lookAlike{original: replaced("Subject", "X-Trasporto: posta-certificata\r\nSubject")(shortOriginal)}.text(t),
			[]string{`""` + genuine, `"1.3" in ""` + forged}},
		{"too deep", forwarded(forwarded(forwarded(forwarded(plain)))), []string{`"2.2.2.2" skipped`}},
		{"three deep", forwarded(forwarded(forwarded(plain))), []string{`"2.2.2"` + genuine, `"2.2.2.1.3" in "2.2.2" skipped`}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got, want := strings.Join(walk(t, test.text), "\n"), strings.Join(test.want, "\n"); got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

// TestWalkPECMany: a message may carry many others, but not more than anybody
// wants to be told of.
func TestWalkPECMany(t *testing.T) {
	many := func(n int) string {
		return "Content-Type: multipart/mixed; boundary=m\r\n\r\n" +
			strings.Repeat("--m\r\nContent-Type: message/rfc822\r\n\r\nX-Ricevuta: x\r\n\r\n", n) + "--m--\r\n"
	}
	for n, want := range map[int]error{pec.MaxFound: nil, pec.MaxFound + 1: pec.ErrStructure} {
		visits := 0
		err := pec.WalkPEC(rawMessage(t, many(n)), func(pec.Found) error { visits++; return nil })
		if !errors.Is(err, want) || visits != pec.MaxFound {
			t.Errorf("%d messages: %d visits, %v, want %d, %v", n, visits, err, pec.MaxFound, want)
		}
	}
}

// TestWalkPECEnds: an error of the visitor ends the walk, and one of reading is
// told.
func TestWalkPECEnds(t *testing.T) {
	enough := errors.New("enough")
	visits := 0
	m := rawMessage(t, nested(t, 1))
	err := pec.WalkPEC(m, func(pec.Found) error { visits++; return enough })
	if visits != 1 || !errors.Is(err, enough) {
		t.Errorf("%d visits, %v; want one, and its error", visits, err)
	}
	for _, lost := range []int64{0, m.Body.Size() / 2} {
		broken := pec.Message{Header: m.Header, Body: &failingBody{Body: m.Body, from: lost, to: lost + 1}}
		if err := pec.WalkPEC(broken, func(pec.Found) error { return nil }); !errors.Is(err, errDisk) {
			t.Errorf("lost at %d: got %v, want the error of reading", lost, err)
		}
	}
}
