package lmtpdeliver

import (
	"bufio"
	"io"
	"strings"
	"testing"

	"github.com/pec-milter/pec-milter/pec"
)

func TestSplitHeader(t *testing.T) {
	for _, c := range []struct{ name, section, header, rest string }{
		{"usual", "A: b\r\n c\r\nD: e\r\n\r\n", "A: b\r\n c\r\nD: e\r\n", ""},
		{"no empty line", "A: b\r\n", "A: b\r\n", ""},
		{"empty line only", "\r\n", "", ""},
		{"nothing", "", "", ""},
		{"line that is no field", "A: b\r\nno field\r\nC: d\r\n\r\n", "A: b\r\n", "no field\r\nC: d\r\n\r\n"},
		{"after a folded field", "A: b\r\n c\r\nno field\r\n\r\n", "A: b\r\n c\r\n", "no field\r\n\r\n"},
		{"no field at the beginning", "no field\r\nA: b\r\n\r\n", "", "no field\r\nA: b\r\n\r\n"},
		{"folded at the beginning", " A: b\r\n\r\n", "", " A: b\r\n\r\n"},
		{"mbox line", "From x@y Mon\r\nA: b\r\n\r\n", "", "From x@y Mon\r\nA: b\r\n\r\n"},
		{"one line without an end", "no field", "", "no field"},
		{"last line without an end", "A: b\r\nno field", "A: b\r\n", "no field"},
		{"8 bit in the name", "A: b\r\n\xe0: c\r\n\r\n", "A: b\r\n", "\xe0: c\r\n\r\n"},
	} {
		header, rest := splitHeader([]byte(c.section))
		if header.String() != c.header || string(rest) != c.rest {
			t.Errorf("%s: splitHeader(%q) = %q, %q, want %q, %q", c.name, c.section, header, rest, c.header, c.rest)
		}
	}
}

// TestUnparsableHeader: such a message is delivered whole, all of it.
func TestUnparsableHeader(t *testing.T) {
	for _, c := range []struct{ name, message, header, body string }{
		{"no header", "hello\r\n\r\nworld\r\n", "", "hello\r\n\r\nworld\r\n"},
		{"broken header", "A: b\r\n?\r\nC: d\r\n\r\nworld\r\n", "A: b\r\n", "?\r\nC: d\r\n\r\nworld\r\n"},
		{"empty message", "", "", ""},
		{"no body", "A: b\r\n", "A: b\r\n", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, seen := keep(t)
			if got := start(t, d).dial(t).deliver(c.message, "a@b"); got[0] != "250 2.1.5 <a@b> done" {
				t.Fatalf("reply = %q, want 250", got)
			}
			if got := seen()[0]; got.header != c.header || got.body != c.body {
				t.Errorf("message = %q, %q, want %q, %q", got.header, got.body, c.header, c.body)
			}
		})
	}
}

// TestEndlessHeader: what is over pec.MaxHeader is body.
func TestEndlessHeader(t *testing.T) {
	line := "X-Line: " + strings.Repeat("x", 990) + "\r\n"
	text := strings.Repeat(line, pec.MaxHeader/len(line)+10)
	section, err := readHeader(bufio.NewReaderSize(strings.NewReader(text), 64<<10))
	if err != nil || len(section) < pec.MaxHeader || len(section) > pec.MaxHeader+64<<10 {
		t.Fatalf("readHeader() = %d bytes, %v, want a little over %d", len(section), err, pec.MaxHeader)
	}
	header, rest := splitHeader(section)
	if got := header.String() + string(rest); got != string(section) || len(header) < 4000 {
		t.Errorf("%d fields and %d bytes of body, want all of %d bytes", len(header), len(rest), len(section))
	}
	endless := bufio.NewReaderSize(io.MultiReader(strings.NewReader("A: "), zeros{}), 64<<10)
	if section, err := readHeader(endless); err != nil || len(section) > pec.MaxHeader+64<<10 {
		t.Errorf("readHeader() of an endless line = %d bytes, %v, want a little over %d", len(section), err, pec.MaxHeader)
	}
}

// zeros is an endless line.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = '0'
	}
	return len(p), nil
}

// FuzzSplitHeader: with the line ends of mail, no byte is lost, wherever the
// header breaks.
func FuzzSplitHeader(f *testing.F) {
	for _, seed := range []string{"A: b\n c\nD: e\n\nbody", "A: b\n?\n\n", "", "\n", "a", " x\n", "A:\n\n\n"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		text = strings.ReplaceAll(strings.ReplaceAll(text, "\r", ""), "\n", "\r\n")
		in := bufio.NewReader(strings.NewReader(text))
		section, err := readHeader(in)
		if err != nil {
			t.Fatal(err)
		}
		header, rest := splitHeader(section)
		body, _ := io.ReadAll(in)
		got := header.String() + string(rest) + string(body)
		if got != text && header.String()+"\r\n"+string(body) != text && got != text+"\r\n" {
			t.Errorf("message %q came out as header %q, rest %q, body %q", text, header, rest, body)
		}
	})
}

func TestQueueID(t *testing.T) {
	for _, c := range []struct{ name, received, want string }{
		{"Postfix", "from mx (mx.example [192.0.2.1])\r\n\t(using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits)\r\n\t key-exchange X25519)\r\n\t(No client certificate requested)\r\n\tby beta.example (Postfix) with ESMTPS id 4bXyZ12Q3z4k\r\n\tfor <u@beta.example>; Wed,  4 Mar 2026 12:00:00 +0100 (CET)", "4bXyZ12Q3z4k"},
		{"Postfix, authenticated, several recipients", "from [10.0.0.1] (unknown [10.0.0.1])\r\n\t(Authenticated sender: u@alfa.example)\r\n\tby alfa.example (Postfix) with ESMTPSA id 3F2A1B0C9D;\r\n\tWed,  4 Mar 2026 12:00:00 +0100 (CET)", "3F2A1B0C9D"},
		{"Postfix, its own bounce", "by beta.example (Postfix)\r\n\tid 4bXyZ; Wed,  4 Mar 2026 12:00:00 +0100 (CET)", "4bXyZ"},
		{"Postfix, sendmail command", "by beta.example (Postfix, from userid 0)\r\n\tid 4bXyZ; Wed,  4 Mar 2026 12:00:00 +0100 (CET)", "4bXyZ"},
		{"Sendmail", "from mx.example (mx.example [192.0.2.1])\r\n\tby beta.example (8.17.1.9/8.17.1.9/Debian-2) with ESMTPS id 624B0abc012345\r\n\t(version=TLSv1.3 cipher=TLS_AES_256_GCM_SHA384 bits=256 verify=NO)\r\n\tfor <u@beta.example>; Wed, 4 Mar 2026 12:00:00 +0100", "624B0abc012345"},
		{"Sendmail, local", "(from root@localhost)\r\n\tby beta.example (8.17.1.9/8.17.1.9/Submit) id 624B0abc012345;\r\n\tWed, 4 Mar 2026 12:00:00 +0100", "624B0abc012345"},
		{"name of the client is no queue id", "from by?id (by x [192.0.2.1])\r\n\tby beta.example (Postfix) with SMTP id 4bXyZ\r\n\tfor <\"by x (y) id FALSE\"@b>; now", "4bXyZ"},
		{"another MTA", "by smtp.example with HTTP id abc-def.1; now", ""},
		{"no id", "from x by y; now", ""},
		{"empty", "", ""},
	} {
		h := pec.Header{pec.NewField("X", "y"), pec.NewField("Received", c.received), pec.NewField("Received", "by old (Postfix) with SMTP id OLDER; then")}
		if got := queueID(h); got != c.want {
			t.Errorf("%s: queueID() = %q, want %q", c.name, got, c.want)
		}
	}
	if got := queueID(nil); got != "" {
		t.Errorf("queueID() without Received = %q, want none", got)
	}
}

// TestQuoted: FM-38, a local part gets its quotes back.
func TestQuoted(t *testing.T) {
	for address, want := range map[string]string{
		"":                 "",
		"a@b":              "a@b",
		"Mario.Rossi+x@B":  "Mario.Rossi+x@B",
		"è@città":          "è@città",
		"a b@c":            `"a b"@c`,
		"a..b@c":           `"a..b"@c`,
		".a@c":             `".a"@c`,
		"@c":               `""@c`,
		"a@b@c":            `"a@b"@c`,
		`a"b\c@d`:          `"a\"b\\c"@d`,
		"a>b@c":            `"a>b"@c`,
		"postmaster":       "postmaster",
		"o'neil_{x}~@b":    "o'neil_{x}~@b",
		"a/b=c?d^e`f|g@h.": "a/b=c?d^e`f|g@h.",
	} {
		if got := quoted(address); got != want {
			t.Errorf("quoted(%q) = %q, want %q", address, got, want)
		}
	}
}
