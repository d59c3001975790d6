package integration

import (
	"bytes"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/mail"
	"os"
	"path/filepath"

	"github.com/pec-milter/pec-milter/pec"
)

// Certified is what a PEC message carries. It is cut out with the standard
// library alone, and not with package pec: a second judge of what that made.
type Certified struct {
	Daticert []byte // daticert.xml, decoded; nil in an anomaly envelope
	Original []byte // postacert.eml, byte for byte; nil if there is none
	Data     CertificationData
}

// CertificationData is daticert.xml (RFC 6109 section 4.4).
type CertificationData struct {
	Kind       pec.Kind `xml:"tipo,attr"`
	Error      string   `xml:"errore,attr"`
	Sender     string   `xml:"intestazione>mittente"`
	Recipients []struct {
		Address string            `xml:",chardata"`
		Kind    pec.RecipientKind `xml:"tipo,attr"`
	} `xml:"intestazione>destinatari"`
	Subject   string   `xml:"intestazione>oggetto"`
	Provider  string   `xml:"dati>gestore-emittente"`
	Day       string   `xml:"dati>data>giorno"`
	Hour      string   `xml:"dati>data>ora"`
	ID        string   `xml:"dati>identificativo"`
	Reference string   `xml:"dati>msgid"`
	Delivered string   `xml:"dati>consegna"`
	TakenFor  []string `xml:"dati>ricezione"`
	Detail    string   `xml:"dati>errore-esteso"`
}

// CutCertified takes a PEC message apart.
func CutCertified(message []byte) (*Certified, error) {
	parsed, err := mail.ReadMessage(bytes.NewReader(message))
	if err != nil {
		return nil, err
	}
	signed, err := readParts(parsed.Header.Get("Content-Type"), "multipart/signed", parsed.Body)
	if err != nil {
		return nil, err
	}
	if len(signed) != 2 {
		return nil, fmt.Errorf("multipart/signed has %d parts, want 2", len(signed))
	}
	content := signed[0]
	parts, err := readParts(content.header.Get("Content-Type"), "multipart/mixed", bytes.NewReader(content.body))
	if err != nil {
		return nil, err
	}
	c := &Certified{}
	for _, p := range parts {
		switch p.name() {
		case "daticert.xml":
			c.Daticert, err = base64.StdEncoding.DecodeString(string(p.body))
			err = errors.Join(err, xml.Unmarshal(c.Daticert, &c.Data))
		case "postacert.eml":
			c.Original = p.body
		}
		if err != nil {
			return nil, fmt.Errorf("part %s: %w", p.name(), err)
		}
	}
	isAnomaly := parsed.Header.Get(pec.HeaderTransport) == string(pec.Anomaly)
	if isAnomaly == (c.Daticert != nil) {
		return nil, errors.New("daticert.xml must be in every PEC message but an anomaly envelope")
	}
	if isAnomaly {
		c.Data.Kind = pec.Anomaly
	}
	return c, nil
}

// KindOf is the kind of a message by its header alone; "ordinary" if it is none.
func KindOf(h pec.Header) pec.Kind {
	for _, name := range []string{pec.HeaderReceipt, pec.HeaderTransport} {
		if value := h.Get(name); value != "" {
			return pec.Kind(value)
		}
	}
	return "ordinary"
}

type part struct {
	header mailHeader
	body   []byte
}

type mailHeader interface{ Get(string) string }

// name is the name of the attached file.
func (p part) name() string {
	_, parameters, err := mime.ParseMediaType(p.header.Get("Content-Type"))
	if err != nil {
		return ""
	}
	return parameters["name"]
}

// readParts splits a multipart entity of the type that it must have; the parts
// stay encoded.
func readParts(contentType, want string, body io.Reader) ([]part, error) {
	mediaType, parameters, err := mime.ParseMediaType(contentType)
	if err != nil || mediaType != want {
		return nil, fmt.Errorf("content type %q, want %s: %w", contentType, want, err)
	}
	reader := multipart.NewReader(body, parameters["boundary"])
	var parts []part
	for {
		next, err := reader.NextRawPart()
		if errors.Is(err, io.EOF) {
			return parts, nil
		}
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", want, err)
		}
		content, err := io.ReadAll(next)
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", want, err)
		}
		parts = append(parts, part{next.Header, content})
	}
}

// SameButIdentifiers tells how what a PEC message carries differs from what the
// user submitted, byte by byte; nil if only in the fields Message-ID and
// X-Riferimento-Message-ID (RFC 6109 section 2.2.1).
func SameButIdentifiers(carried, submitted []byte) error {
	got, err := withoutIdentifiers(carried)
	if err != nil {
		return fmt.Errorf("postacert.eml: %w", err)
	}
	want, err := withoutIdentifiers(submitted)
	if err != nil {
		return fmt.Errorf("the submitted message: %w", err)
	}
	if bytes.Equal(got, want) {
		return nil
	}
	at := 0
	for at < min(len(got), len(want)) && got[at] == want[at] {
		at++
	}
	return fmt.Errorf("postacert.eml is not what was submitted: at byte %d of %d it has %.60q, want (of %d) %.60q",
		at, len(got), got[at:], len(want), want[at:])
}

func withoutIdentifiers(message []byte) ([]byte, error) {
	m, err := pec.ReadMessage(bytes.NewReader(message), int64(len(message)))
	if err != nil {
		return nil, err
	}
	m.Header = m.Header.Without("Message-ID", pec.HeaderReference)
	var out bytes.Buffer
	_, err = m.WriteTo(&out)
	return out.Bytes(), err
}

// Judges are programs that know nothing of us: openssl verifies the signature of
// a message against the authority, xmllint its certification data against the
// DTD of RFC 6109 section 4.4. nil: both accept it. Of an anomaly envelope, which
// has no certification data (daticert is nil), openssl alone is the judge.
func Judges(message []byte, daticert []byte, authority, dtd string) error {
	dir, err := os.MkdirTemp("", "judges")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	eml, xml := filepath.Join(dir, "message.eml"), filepath.Join(dir, "daticert.xml")
	if err := os.WriteFile(eml, message, 0o600); err != nil {
		return err
	}
	if err := os.WriteFile(xml, daticert, 0o600); err != nil {
		return err
	}
	if _, err := run(nil, "openssl", "cms", "-verify", "-in", eml, "-CAfile", authority, "-out", os.DevNull); err != nil || daticert == nil {
		return err
	}
	_, err = run(nil, "xmllint", "--noout", "--nonet", "--dtdvalid", dtd, xml)
	return err
}
