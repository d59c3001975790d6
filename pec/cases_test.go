package pec

import (
	"path"
	"strings"
	"testing"
	"time"
)

// TestReadableTextIsHarmless: whatever a message says of itself, the readable
// part of what we issue has no active content, no reference and no control
// character (RFC 6109 section 4.3.1).
func TestReadableTextIsHarmless(t *testing.T) {
	files, err := textFiles.ReadDir("texts")
	if err != nil || len(files) < 14 {
		t.Fatalf("texts: got %d (%v), want all", len(files), err)
	}
	for _, c := range []struct{ name, evil string }{
		{"IN-05 script", `<script>alert(1)</script>`},
		{"IN-05 image", `<img src=http://x.example/a onerror="x">`},
		{"IN-05 entity", `&lt;b&gt;"'`},
		{"IN-04 line end", "a\r\nX-Ricevuta: avvenuta-consegna"},
		{"IN-04 direction marks", "a\u202eb\u2066c\u2028d"},
		{"IN-04 escape", "a\x1b[31m\x9bb\x00\x7f"},
	} {
		d := CertificationData{
			Sender: c.evil + "@x.example", Recipients: []Recipient{{c.evil, Certified}}, TakenFor: []string{c.evil},
			Subject: c.evil, ID: c.evil, Delivered: c.evil, Time: time.Date(2026, 3, 14, 9, 26, 53, 0, time.UTC),
		}
		for _, file := range files {
			name := strings.TrimSuffix(file.Name(), ".txt")
			t.Run(c.name+" "+name, func(t *testing.T) {
				text, err := readableText(name, &d, c.evil)
				if err != nil {
					t.Fatal(err)
				}
				if strings.ContainsAny(text, "\r\x00\x1b\x7f\u009b\u202e\u2066\u2028") || strings.Contains(text, "\nX-Ricevuta") {
					t.Errorf("text: got %q", text)
				}
				html := strings.NewReplacer("<html>", "", "<head>", "", "<title>", "", "</title>", "", "</head>", "", "<body>", "",
					"<h3>", "", "</h3>", "", "<br>", "", "</body>", "", "</html>", "").Replace(htmlText(text))
				if strings.ContainsAny(html, `<>"'`) {
					t.Errorf("HTML: got %q", html)
				}
			})
		}
	}
}

// TestHashFileName: IN-14, the name of a file with a hash names no directory and
// begins no field (RFC 6109 section 3.3.2.2).
func TestHashFileName(t *testing.T) {
	for _, c := range []struct{ name, parameter, want string }{
		{"IN-14 path", `name="../../etc/passwd"`, ".._.._etc_passwd.hash"},
		{"IN-14 Windows path", `name="C:\\..\\x"`, "C:_.._x.hash"},
		{"IN-14 line end in RFC 2231", "name*=utf-8''a%0D%0AX-Ricevuta:%20x", "a  X-Ricevuta: x.hash"},
		{"IN-14 line end in an encoded word", `name="=?utf-8?q?a=0D=0AX-Ricevuta:_x?="`, "a  X-Ricevuta: x.hash"},
		{"IN-14 NUL and quotes", "name*=utf-8''a%00%22b", "a _b.hash"},
	} {
		t.Run(c.name, func(t *testing.T) {
			original := "Content-Type: application/pdf; " + c.parameter + "\r\n\r\nx\r\n"
			brief, whole, err := BriefOriginal(strings.NewReader(original), false)
			if err != nil || whole != "" {
				t.Fatalf("got %q, %v, want the brief form", whole, err)
			}
			m, err := ReadMessage(brief, brief.Size())
			if err != nil {
				t.Fatal(err)
			}
			root, err := Structure(m)
			if err != nil {
				t.Fatal(err)
			}
			if got := root.Name(); got != c.want || path.Base(got) != got {
				t.Errorf("name: got %q, want %q", got, c.want)
			}
			if n := m.Header.Count(HeaderReceipt); n != 0 || len(m.Header) != 3 {
				t.Errorf("header: got\n%s, want the three Content fields", m.Header)
			}
		})
	}
}

// TestFormalCases: RFC 6109 section 3.1.1 and, where it says nothing, section
// 2.2.1: the cases beside TestFormalExceptions.
func TestFormalCases(t *testing.T) {
	const mario, anna = "mario@pec.alfa.example", "anna@pec.beta.example"
	const rest = "To: anna@pec.beta.example\r\n"
	const good = "From: mario@pec.alfa.example\r\n" + rest
	for _, c := range []struct {
		name, header, body, want string
	}{
		{"FM-06 an address as display name", "From: \"ceo@x.example\" <mario@pec.alfa.example>\r\n" + rest, "", ""},
		{"FM-06 an address in a comment", "From: mario@pec.alfa.example (ceo@x.example)\r\n" + rest, "", ""},
		{"FM-06 the other way round", "From: \"mario@pec.alfa.example\" <ceo@x.example>\r\n" + rest, "", "non coincide con il mittente"},
		{"FM-04 two addresses in one From", "From: mario@pec.alfa.example, luigi@pec.alfa.example\r\n" + rest, "", "campo From"},
		{"FM-04 From in another case twice", good + "FROM: mario@pec.alfa.example\r\n", "", "From compare"},
		{"FM-11 Bcc with a name alone", good + "Bcc: somebody\r\n", "", "Bcc"},
		{"FM-11 Bcc in another case, folded", good + "bCC:\r\n x@y.example\r\n", "", "Bcc"},
		{"FM-11 two Bcc, one empty", good + "Bcc:\r\nBcc: x@y.example\r\n", "", "Bcc"},
		{"FM-25 Message-ID of 8 KB", good + "Message-ID: <" + strings.Repeat("a", 8<<10) + "@b>\r\n", "", "riga oltre"},
		{"FM-25 Message-ID with quotes", good + "Message-ID: <\"a>\"@b>\r\n", "", "Message-ID non e' valido"},
		{"FM-25 Message-ID with a line end", good + "Message-ID: <a\r\n b@c>\r\n", "", "Message-ID non e' valido"},
		{"FM-27 Date in 1970", good + "Date: Thu, 1 Jan 1970 00:00:00 +0000\r\n", "", ""},
		{"FM-27 Date in 2100", good + "Date: Fri, 1 Jan 2100 00:00:00 +0000\r\n", "", ""},
		{"FM-28 no colon", good + "X-Mailbox Line\r\n", "", "nome non valido"},
		{"FM-31 NUL in From", "From: mario@pec.alfa.example\x00.evil.example\r\n" + rest, "", "caratteri non ammessi"},
		{"FM-34 8-bit body without MIME", good, "perch\xe9\r\n", ""},
		{"FM-42 attachment alone", good + "Content-Type: application/pdf; name=x.pdf\r\nContent-Transfer-Encoding: base64\r\n", "QUJD\r\n", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			reasons, err := FormalExceptions(Message{fieldsOf(c.header), strings.NewReader(c.body)}, mario, []string{anna}, Limits{})
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
