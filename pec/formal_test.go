package pec

import (
	"fmt"
	"strings"
	"testing"
)

// TestFormalExceptions: RFC 6109 section 3.1.1, with the ids of the cases.
func TestFormalExceptions(t *testing.T) {
	const mario, anna, carla = "mario@pec.alfa.example", "anna@pec.beta.example", "carla@pec.alfa.example"
	const good = "From: Mario <mario@pec.alfa.example>\r\nTo: anna@pec.beta.example\r\nCc: carla@pec.alfa.example\r\n"
	for _, c := range []struct {
		name, header, body string
		recipients         []string
		limits             Limits
		want               string // part of the reason; empty: accepted
	}{
		{"good", good, "x\r\n", []string{anna, carla}, Limits{}, ""},
		{"FM-01 another From", strings.Replace(good, "mario@", "luigi@", 1), "", []string{anna}, Limits{}, "non coincide con il mittente"},
		{"FM-02 domain in another case", strings.Replace(good, "mario@pec.alfa", "mario@PEC.Alfa", 1), "", []string{anna}, Limits{}, ""},
		{"FM-02 local part in another case", strings.Replace(good, "mario@", "Mario@", 1), "", []string{anna}, Limits{}, "non coincide"},
		{"FM-03 no From", "To: anna@pec.beta.example\r\n", "", []string{anna}, Limits{}, "campo From"},
		{"FM-04 two From", good + "From: mario@pec.alfa.example\r\n", "", []string{anna}, Limits{}, "From compare piu' volte"},
		{"FM-07 no To", "From: mario@pec.alfa.example\r\nCc: anna@pec.beta.example\r\n", "", []string{anna}, Limits{}, "campo To"},
		{"FM-08 empty group", "From: mario@pec.alfa.example\r\nTo: undisclosed-recipients:;\r\n", "", []string{anna}, Limits{}, "campo To"},
		{"FM-09 hidden recipient", good, "", []string{anna, "x@pec.beta.example"}, Limits{}, "l'indirizzo email x@pec.beta.example non appare nei campi To o Cc"},
		{"FM-10 To without RCPT", good, "", []string{anna}, Limits{}, ""},
		{"FM-10 To without RCPT, strict", good, "", []string{anna}, Limits{StrictRecipients: true}, "l'indirizzo email carla@pec.alfa.example non e' tra i destinatari dell'invio"},
		{"FM-10 all are recipients, strict", good, "", []string{carla, "anna@PEC.BETA.example"}, Limits{StrictRecipients: true}, ""},
		{"FM-10 hidden recipient, strict", good, "", []string{anna, carla, "x@pec.beta.example"}, Limits{StrictRecipients: true}, "x@pec.beta.example non appare"},
		{"FM-11 Bcc", good + "Bcc: x@pec.beta.example\r\n", "", []string{anna}, Limits{}, "Bcc"},
		{"FM-12 empty Bcc", good + "Bcc: \r\n", "", []string{anna}, Limits{}, ""},
		{"FM-17 size times recipients at the limit", good, strings.Repeat("x", 898) + "\r\n", []string{anna, carla}, Limits{Total: 2 * (int64(len(good)) + 2 + 900)}, ""},
		{"FM-17 one byte over", good, strings.Repeat("x", 899) + "\r\n", []string{anna, carla}, Limits{Total: 2 * (int64(len(good)) + 2 + 900)}, "ecceduta la dimensione"},
		{"FM-20 too many recipients", good, "", []string{anna, carla}, Limits{Recipients: 1}, "numero massimo"},
		{"FM-23 no Message-ID", good, "", []string{anna}, Limits{}, ""},
		{"FM-24 two Message-ID", good + "Message-ID: <a@b>\r\nMessage-ID: <c@d>\r\n", "", []string{anna}, Limits{}, "Message-ID compare"},
		{"FM-25 malformed Message-ID", good + "Message-ID: <a><b>\r\n", "", []string{anna}, Limits{}, "Message-ID non e' valido"},
		{"FM-25 Message-ID that fits its line", good + "Message-ID: <" + strings.Repeat("x", 968) + "@b>\r\n", "", []string{anna}, Limits{}, ""},
		{"FM-25 Message-ID too long for X-Riferimento-Message-ID", good + "Message-ID: <" + strings.Repeat("x", 969) + "@b>\r\n", "", []string{anna}, Limits{}, "Message-ID non e' valido"},
		{"empty Cc and Reply-To", "From: mario@pec.alfa.example\r\nTo: anna@pec.beta.example\r\nCc:\r\nReply-To: \r\n", "", []string{anna}, Limits{}, ""},
		{"empty To", "From: mario@pec.alfa.example\r\nTo:\r\nCc: anna@pec.beta.example\r\n", "", []string{anna}, Limits{}, "campo To"},
		{"FM-25 folded Message-ID", good + "Message-ID:\r\n <a@b>\r\n", "", []string{anna}, Limits{}, ""},
		{"FM-27 no Date", good, "", []string{anna}, Limits{}, ""},
		{"FM-28 space before the colon", good + "X : y\r\n", "", []string{anna}, Limits{}, "nome non valido"},
		{"FM-29 a field over 32 KiB", good + "X: " + strings.Repeat(strings.Repeat("y", 70)+"\r\n ", 500) + "\r\n", "", []string{anna}, Limits{}, "supera la dimensione"},
		{"FM-30 too many fields", good + strings.Repeat("X: y\r\n", 2001), "", []string{anna}, Limits{}, "intestazione supera"},
		{"FM-31 NUL in a field", good + "X: a\x00b\r\n", "", []string{anna}, Limits{}, "caratteri non ammessi"},
		{"FM-32 NUL in the body", good, "a\x00b\r\n", []string{anna}, Limits{}, "caratteri non ammessi"},
		{"FM-33 8-bit in a field", good + "X: perch\xe9\r\n", "", []string{anna}, Limits{}, "caratteri non ammessi"},
		{"FM-36 long line", good, strings.Repeat("x", 999) + "\r\n", []string{anna}, Limits{}, "riga oltre"},
		{"FM-36 very long line", good, strings.Repeat("x", 1_000_000), []string{anna}, Limits{}, "riga oltre"},
		{"FM-36 longest line", good, strings.Repeat("x", 998) + "\r\n", []string{anna}, Limits{}, ""},
		{"FM-41 recipient's domain in another case", good, "", []string{"anna@PEC.BETA.example"}, Limits{}, ""},
		{"RS-01 multiparts too deep", good + "Content-Type: multipart/mixed; boundary=b0.\r\n", nested(40), []string{anna}, Limits{}, "troppi livelli"},
		{"RS-02 too many parts", good + "Content-Type: multipart/mixed; boundary=b\r\n", strings.Repeat("--b\r\n\r\n", 10_001) + "--b--\r\n", []string{anna}, Limits{}, "troppe parti"},
		{"a multipart that is not closed", good + "Content-Type: multipart/mixed; boundary=b\r\n", "--b\r\n\r\nx\r\n", []string{anna}, Limits{}, ""},
		{"FM-42 empty body", good, "", []string{anna}, Limits{}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := Message{fieldsOf(c.header), strings.NewReader(c.body)}
			reasons, err := FormalExceptions(m, mario, c.recipients, c.limits)
			if err != nil {
				t.Fatal(err)
			}
			got := strings.Join(reasons, "; ")
			if (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// nested is the body of a multipart with boundary b0, with that many more in it.
func nested(depth int) string {
	var b strings.Builder
	for n := range depth {
		fmt.Fprintf(&b, "--b%d.\r\nContent-Type: multipart/mixed; boundary=b%d.\r\n\r\n", n, n+1)
	}
	return b.String()
}

// fieldsOf splits a header as a milter shows it: also what is no valid field.
func fieldsOf(section string) Header {
	var h Header
	for line := range strings.SplitSeq(strings.TrimSuffix(section, "\r\n"), "\r\n") {
		if len(h) > 0 && line != "" && isBlank(line[0]) {
			h[len(h)-1].Value += "\r\n" + line
			continue
		}
		name, value, _ := strings.Cut(line, ":")
		h = append(h, Field{name, value})
	}
	return h
}

func TestReceiptFor(t *testing.T) {
	const anna = "anna@pec.beta.example"
	for _, c := range []struct {
		name, header string
		requested    ReceiptType
		want         ReceiptType
	}{
		{"primary", "To: " + anna, Complete, Complete},
		{"carbon copy", "To: x@y.example\r\nCc: " + anna, Complete, Concise},
		{"FM-22 both", "To: " + anna + "\r\nCc: " + anna, Complete, Complete},
		{"neither", "To: x@y.example", Complete, Complete},
		{"To cannot be read", "To: <<>>\r\nCc: " + anna, Complete, Complete},
		{"concise asked for", "To: " + anna, Concise, Concise},
		{"brief asked for", "To: " + anna, Brief, Brief},
		{"brief, carbon copy", "To: x@y.example\r\nCc: " + anna, Brief, Concise},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := ReceiptFor(c.requested, fieldsOf(c.header), anna); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}
