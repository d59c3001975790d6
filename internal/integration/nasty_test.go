//go:build integration

package integration

import (
	"fmt"
	"strings"
)

// nasty is a message that is easy to damage. FROM and TO stand for the
// addresses; a line ends with \n and is sent with \r\n.
type nasty struct {
	name   string
	header string // beside From and To; with its line ends
	body   string
}

// addressed is a nasty message on its way.
type addressed struct {
	nasty
	from, to string
}

// nastyMessages are all that originals submits.
func nastyMessages() []nasty {
	return append(append(nastyHeaders(), nastyBodies()...), nastyStructures()...)
}

func nastyHeaders() []nasty {
	return []nasty{
		{"no field but From and To", "", "x\n"},
		{"folded subject", "Subject: one\n two\n\tthree\n   four\n", "x\n"},
		{"folding before the first word", "Subject:\n folded at once\n", "x\n"},
		{"continuation of white space alone", "X-A: one\n  \n\ttwo\n", "x\n"},
		{"trailing spaces and tabs", "Subject: spaces   \nX-A: tab\t\nX-B:  \t \n", "x\n"},
		{"no space after the colon", "Subject:none\nX-A:\n", "x\n"},
		{"many spaces after the colon", "Subject:      six\nX-A:  two\n", "x\n"},
		{"tab after the colon", "Subject:\ttab\nX-A: \t mixed\n", "x\n"},
		{"tabs inside", "Subject: one\ttwo\t\tthree\n", "x\n"},
		{"empty values", "Subject:\nX-A: \nX-B:\t\nKeywords:\n", "x\n"},
		{"duplicate fields in turn", "X-A: 1\nX-B: 1\nX-A: 2\nX-B: 2\nx-a: 3\nX-A: 2\n", "x\n"},
		{"names in odd case", "sUbJeCt: odd\nmime-version: 1.0\nCONTENT-TYPE: text/plain\nX_a.b!c$d: odd\n", "x\n"},
		{"trace fields of a relay", "Received: from a by b; Mon, 2 Mar 2026 10:00:00 +0100\nReceived: from c\n\tby d\n" +
			"DKIM-Signature: v=1; a=rsa-sha256;\n\tbh=abc=;\n\tb=def\n  ghi=\n", "x\n"},
		{"fields that Postfix drops by default", "Return-Path: <somebody@else.example>\nContent-Length: 12345\n", "x\n"},
		{"1,500 fields", manyFields(1500), "x\n"},
		{"field of 998 bytes in one line", "X-A: " + strings.Repeat("a", 998-5) + "\n", "x\n"},
		{"FM-29 field of 31 KiB", "X-A:" + strings.Repeat(" "+strings.Repeat("b", 60)+"\n", 31<<10/62), "x\n"},
		{"subject of 200 encoded words", "Subject:" + strings.Repeat(" =?utf-8?b?w6g=?=\n", 200), "x\n"},
		{"FM-23 no Message-ID, no Date", "Subject: bare\n", "x\n"},
		{"folded Message-ID", "Message-ID:\n <folded@client.example>\n", "x\n"},
		{"Reply-To and Sender", "Reply-To: Other <other@else.example>\nSender: FROM\n", "x\n"},
		{"FH-01, FH-02 fields of PEC from a user", "X-Trasporto: posta-certificata\nX-Ricevuta: avvenuta-consegna\n", "x\n"},
	}
}

func nastyBodies() []nasty {
	long := strings.Repeat("0123456789", 99) + "12345678" // 998 bytes
	return []nasty{
		{"FM-42 empty body", "Subject: empty\n", ""},
		{"one empty line", "Subject: one line\n", "\n"},
		{"empty lines only", "Subject: lines\n", "\n\n\n\n\n"},
		{"trailing empty lines", "Subject: trailing\n", "text\n\n\n\n\n\n\n"},
		{"leading empty lines", "Subject: leading\n", "\n\n\ntext\n"},
		{"dots", "Subject: dots\n", ".\n..\n...\n. \n.x\n..x\n \n.\n"},
		{"lines that begin with From", "Subject: mbox\n", "From here\n>From there\nFrom \n"},
		{"trailing white space", "Subject: white\n", "text   \n\t\n   \ntext\t\n"},
		{"lines of 998 bytes", "Subject: long\n", long + "\n" + long + "\n" + strings.Repeat(".", 997) + "\n"},
		{"control characters", "Subject: control\n", "bell\x07 tab\t feed\x0c escape\x1b delete\x7f vertical\x0b back\x08\n"},
		{"FM-34 8 bit without MIME", "Subject: eight\n", "perch\xe9 cos\xec \xc3\xa8\n"},
		{"8 bit that says 7bit", "MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 7bit\n", "perch\xc3\xa9\n"},
		{"8 bit that says 8bit", "MIME-Version: 1.0\nContent-Type: text/plain; charset=iso-8859-15\nContent-Transfer-Encoding: 8bit\n", highBytes()},
		{"what looks like a boundary", "Subject: boundary\n", "------=_pec_0000\n--\n----\n--x--\n"},
		{"100,000 short lines", "Subject: lines\n", strings.Repeat("a\n", 100_000)},
	}
}

func nastyStructures() []nasty {
	const multipart = "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary="
	return []nasty{
		{"preamble and epilogue", multipart + "b\n", "preamble\n\n--b\n\npart\n--b--\nepilogue\n\n--b--\n"},
		{"boundary in quotes, with spaces", multipart + "\"a b'()+_,-./:=?\"\n", "--a b'()+_,-./:=?\n\npart\n--a b'()+_,-./:=?--  \n"},
		{"multipart without end", multipart + "b\n", "--b\n\npart\n"},
		{"multipart without parts", multipart + "b\n", "no boundary at all\n"},
		{"message inside a message", multipart + "b\n", "--b\nContent-Type: message/rfc822\n\nSubject: inner\n folded\nX-A:\n\ninner\n--b--\n"},
		{"quoted-printable with soft ends", "MIME-Version: 1.0\nContent-Type: text/plain\nContent-Transfer-Encoding: quoted-printable\n",
			"a=\n b =20\n=3D=\n\ntrailing =\n"},
		{"base64 in odd lines", "MIME-Version: 1.0\nContent-Type: application/pdf\nContent-Transfer-Encoding: base64\n", "QUJ\nDRA\n==\n\n"},
		{"part with a field of 15 KB", multipart + "b\n", "--b\nContent-Type: text/plain;\n" + strings.Repeat(" x=\""+strings.Repeat("y", 70)+"\";\n", 200) + "\n--b--\n"},
		{"part with a damaged header", multipart + "b\n", "--b\nno field here\n: nor here\nX-A : space\n\npart\n--b--\n"},
		{"8 multiparts deep", multipart + "b0\n", deepBody(7)},
	}
}

func manyFields(n int) string {
	var fields strings.Builder
	for i := range n {
		fmt.Fprintf(&fields, "X-Field-%d: value %d\n", i%7, i)
	}
	return fields.String()
}

// highBytes has every byte from 0x80.
func highBytes() string {
	all := []byte("all:\n")
	for b := 0x80; b <= 0xff; b++ {
		all = append(all, byte(b))
	}
	return string(append(all, '\n'))
}

// deepBody is a message of nested multiparts. clamd gives up somewhere between 8 and
// 30 of them, and what it cannot look into is refused at the access point.
func deepBody(depth int) string {
	var body strings.Builder
	for i := range depth {
		fmt.Fprintf(&body, "--b%d\nContent-Type: multipart/mixed; boundary=b%d\n\n", i, i+1)
	}
	fmt.Fprintf(&body, "--b%d\n\ninnermost\n", depth)
	for i := depth; i >= 0; i-- {
		fmt.Fprintf(&body, "--b%d--\n", i)
	}
	return body.String()
}

// bytes is the message as it is submitted.
func (n addressed) bytes() []byte {
	text := "From: FROM\nTo: TO\n" + n.header + "\n" + n.body
	text = strings.ReplaceAll(strings.ReplaceAll(text, "FROM", n.from), "TO", n.to)
	return []byte(strings.ReplaceAll(text, "\n", "\r\n"))
}
