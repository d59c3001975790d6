package main

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strings"
	"time"
)

// subject is what the sender's client shows; on the wire it is encoded.
const (
	subject        = "Contratto di fornitura n. 12: è pronto"
	encodedSubject = "=?utf-8?q?Contratto_di_fornitura_n=2E_12=3A_=C3=A8_pronto?="
)

// composeMessage is the message as a mail client composes it, with a PDF
// attached.
func composeMessage(now time.Time) []byte {
	const boundary = "=_contratto-e-allegato"
	lines := []string{
		"Date: " + now.Format(time.RFC1123Z),
		"From: Mario Rossi <" + sender + ">",
		"To: Giulia Verdi <" + remote + ">,",
		" Anna Bianchi <" + colleague + ">",
		"Cc: Luca Neri <" + outsider + ">",
		"Subject: " + encodedSubject,
		fmt.Sprintf("Message-ID: <contratto.%d@client.alfa.example>", now.UnixNano()),
		"MIME-Version: 1.0",
		`Content-Type: multipart/mixed; boundary="` + boundary + `"`,
		"",
		"--" + boundary,
		"Content-Type: text/plain; charset=utf-8",
		"Content-Transfer-Encoding: 8bit",
		"",
		"Gentile Giulia,",
		"",
		"in allegato il contratto, così come è stato concordato.",
		".",
		"Mario",
		"",
		"--" + boundary,
		`Content-Type: application/pdf; name="contratto.pdf"`,
		"Content-Transfer-Encoding: base64",
		`Content-Disposition: attachment; filename="contratto.pdf"`,
		"",
		foldBase64(composePDF("Contratto di fornitura n. 12")),
		"--" + boundary + "--",
		"",
	}
	return []byte(strings.Join(lines, "\r\n"))
}

// foldBase64 encodes in lines of 76 characters.
func foldBase64(data []byte) string {
	text := base64.StdEncoding.EncodeToString(data)
	var lines strings.Builder
	for len(text) > 76 {
		lines.WriteString(text[:76] + "\r\n")
		text = text[76:]
	}
	return lines.String() + text
}

// composePDF is the smallest PDF that shows a line of text.
func composePDF(line string) []byte {
	content := fmt.Sprintf("BT /F1 24 Tf 72 760 Td (%s) Tj ET", line)
	objects := []string{
		"<< /Type /Catalog /Pages 2 0 R >>",
		"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
		"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> >>",
		fmt.Sprintf("<< /Length %d >>\nstream\n%s\nendstream", len(content), content),
		"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
	}
	var pdf bytes.Buffer
	pdf.WriteString("%PDF-1.4\n")
	var table strings.Builder
	for i, object := range objects {
		fmt.Fprintf(&table, "%010d 00000 n \n", pdf.Len())
		fmt.Fprintf(&pdf, "%d 0 obj\n%s\nendobj\n", i+1, object)
	}
	start := pdf.Len()
	fmt.Fprintf(&pdf, "xref\n0 %d\n0000000000 65535 f \n%s", len(objects)+1, table.String())
	fmt.Fprintf(&pdf, "trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n", len(objects)+1, start)
	return pdf.Bytes()
}
