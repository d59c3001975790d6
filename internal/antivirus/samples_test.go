package antivirus

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
)

// eicar is the harmless file that every scanner takes for a virus, in pieces so
// that none takes this file for one.
func eicar() string {
	return `X5O!P%@AP[4\PZX54(P^)7CC)7}$` + "EICAR-STANDARD-" + "ANTIVIRUS-" + "TEST-FILE!" + "$H+H*"
}

// part is a part of a message: its type, and its content as transferred.
type part struct{ kind, content string }

// mail is a message of those parts.
func mail(parts ...part) string {
	const boundary = "=_boundary"
	var b strings.Builder
	b.WriteString("From: <mario.rossi@pec.alfa.example>\r\nTo: anna@pec.beta.example\r\nSubject: Prova\r\n" +
		"Message-ID: <m1@client.example>\r\nMIME-Version: 1.0\r\n")
	writeMultipart(&b, "multipart/mixed", boundary, parts)
	return b.String()
}

func writeMultipart(b *strings.Builder, kind, boundary string, parts []part) {
	fmt.Fprintf(b, "Content-Type: %s; boundary=\"%s\"\r\n\r\n", kind, boundary)
	for _, p := range parts {
		fmt.Fprintf(b, "--%s\r\nContent-Type: %s\r\n%s\r\n", boundary, p.kind, p.content)
	}
	fmt.Fprintf(b, "--%s--\r\n", boundary)
}

func words() part { return part{"text/plain", "\r\nBuongiorno.\r\n"} }

func attached(name string, content []byte) part {
	return part{`application/octet-stream; name="` + name + `"`,
		"Content-Transfer-Encoding: base64\r\nContent-Disposition: attachment; filename=\"" + name + "\"\r\n\r\n" + base64Lines(content)}
}

func base64Lines(content []byte) string {
	text := base64.StdEncoding.EncodeToString(content)
	var b strings.Builder
	for len(text) > 76 {
		b.WriteString(text[:76] + "\r\n")
		text = text[76:]
	}
	return b.String() + text
}

func message(inner string) part {
	return part{`message/rfc822; name="postacert.eml"`, "Content-Disposition: inline\r\n\r\n" + inner}
}

// envelope is a message in the shape of a transport envelope.
func envelope(original string) string {
	var mixed strings.Builder
	writeMultipart(&mixed, "multipart/mixed", "=_mixed", []part{
		words(), {`application/xml; name="daticert.xml"`, "\r\n<postacert/>"}, message(original),
	})
	kind, content, _ := strings.Cut(strings.TrimPrefix(mixed.String(), "Content-Type: "), "\r\n")
	var b strings.Builder
	b.WriteString("From: \"Per conto di: mario.rossi@pec.alfa.example\" <posta-certificata@pec.alfa.example>\r\n" +
		"Subject: POSTA CERTIFICATA: Prova\r\nX-Trasporto: posta-certificata\r\nMIME-Version: 1.0\r\n")
	writeMultipart(&b, "multipart/signed", "=_signed", []part{{kind, content}, attached("smime.p7s", []byte("signature"))})
	return b.String()
}

// packed is a ZIP archive of one file.
func packed(t *testing.T, name string, content []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	f, err := w.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// nested is the file in a ZIP archive in a ZIP archive, so many times.
func nested(t *testing.T, depth int, content []byte) []byte {
	for n := range depth {
		content = packed(t, fmt.Sprintf("%d.zip", n), content)
	}
	return content
}

// rawZip is a ZIP archive whose header says what it likes of its one file.
func rawZip(t *testing.T, header zip.FileHeader, compressed []byte) []byte {
	t.Helper()
	header.Name, header.CompressedSize64 = "a.bin", uint64(len(compressed))
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	f, err := w.CreateRaw(&header)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(compressed); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

const gib = 1 << 30

// deflatedZeros are so many bytes of nothing: pieces that do not depend on each
// other, so that one has to be compressed once.
func deflatedZeros(t *testing.T, size int) []byte {
	t.Helper()
	const piece = 16 << 20
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(make([]byte, piece)); err != nil {
		t.Fatal(err)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	end := "\x03\x00" // a last block with nothing in it
	return append(bytes.Repeat(b.Bytes(), size/piece), end...)
}

// decoded is a file that another program made.
func decoded(t *testing.T, text string) []byte {
	t.Helper()
	content, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// encryptedZip was made by Info-ZIP: zip -P.
func encryptedZip(t *testing.T) []byte {
	return decoded(t, "UEsDBBQACQAIAC8Ndl2focoJFwAAABMAAAAFABwAYS50eHRVVAkAA0lIAmtJSAJrdXgLAAEEAAAAAAQAAAAAdpIY93VBgpvcGYrlBmU9gdxkvKk1vatQ"+
		"SwcIn6HKCRcAAAATAAAAUEsBAh4DFAAJAAgALw12XZ+hygkXAAAAEwAAAAUAGAAAAAAAAQAAAKSBAAAAAGEudHh0VVQFAANJSAJrdXgLAAEEAAAAAAQAAAAAUEsFBgAAAAABAAEASwAAAGYAAAAAAA==")
}

// smallZip64 was made by Python: zipfile with force_zip64.
func smallZip64(t *testing.T) []byte {
	return decoded(t, "UEsDBC0AAAAAAAAAIQCGphA2//////////8FABQAYS50eHQBABAABQAAAAAAAAAFAAAAAAAAAGhlbGxvUEsBAi0DLQAAAAAAAAAhAIamEDYFAAAABQAAAAUA"+
		"AAAAAAAAAAAAAIABAAAAAGEudHh0UEsFBgAAAAABAAEAMwAAADwAAAAAAAA=")
}
