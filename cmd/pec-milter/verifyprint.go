package main

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/pec-milter/pec-milter/pec"
)

// print writes the finding for people.
func (f *fileFinding) print(w io.Writer) error {
	p := &printer{}
	p.line("%s: %s", f.File, f.verdict())
	if f.Problem != "" {
		p.line("  %s", f.Problem)
	}
	for i := range f.Messages {
		p.message(&f.Messages[i])
	}
	_, err := w.Write(p.Bytes())
	return err
}

// verdict says with the verdict what it leaves open.
func (f *fileFinding) verdict() string {
	if !f.Genuine {
		return "NOT GENUINE"
	}
	var open []string
	for _, m := range f.Messages {
		for _, step := range m.NotChecked {
			if name := stepName(step); !m.Enclosed && !slices.Contains(open, name) {
				open = append(open, name)
			}
		}
	}
	if len(open) == 0 {
		return "genuine"
	}
	return "genuine as far as it was checked; NOT CHECKED: " + strings.Join(open, ", ")
}

func stepName(s pec.Step) string { return strings.ReplaceAll(string(s), "_", " ") }

// printer gathers lines. What comes from a message is printable: it could not
// colour or erase a line.
type printer struct{ bytes.Buffer }

func (p *printer) line(format string, args ...any) {
	for i, a := range args {
		if text, ok := a.(string); ok {
			args[i] = printable(text)
		}
	}
	fmt.Fprintf(p, format+"\n", args...)
}

func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "\uFFFD"))
}

func (p *printer) message(m *messageFinding) {
	if m.Place != "" {
		p.line("  in part %s: %s", m.Place, m.verdict())
	}
	if m.Unread != "" {
		return
	}
	p.field("kind", cmp.Or(string(m.Kind), "none: it does not say that it is a PEC message"))
	if m.Provider != "" {
		p.field("provider", m.Provider)
	}
	p.data(m.Data)
	p.signature(m.Signature)
	for _, c := range m.Checks {
		p.line("    %-19s %-12s %s", stepName(c.Check), string(c.Result), c.Detail)
	}
}

func (m *messageFinding) verdict() string {
	verdict := "NOT GENUINE"
	switch {
	case m.Unread != "":
		return m.Unread
	case m.Genuine:
		verdict = "genuine"
	}
	if m.Enclosed {
		verdict += ", enclosed in another PEC message, which alone counts"
	}
	return verdict
}

func (p *printer) field(name, value string) { p.line("  %-11s %s", name, value) }

func (p *printer) data(d *certData) {
	if d == nil {
		return
	}
	p.field("id", d.ID)
	p.field("issued by", d.Provider)
	p.field("date", d.Time.Format(time.RFC3339))
	p.field("from", d.Sender)
	for _, r := range d.Recipients {
		p.field("to", r.Address+" ("+string(r.Kind)+")")
	}
	p.field("subject", d.Subject)
	for _, f := range []struct{ name, value string }{
		{"about", cmp.Or(d.Delivered, strings.Join(d.TakenFor, ", "))}, {"reference", d.Reference}, {"detail", d.Detail},
	} {
		if f.value != "" {
			p.field(f.name, f.value)
		}
	}
}

func (p *printer) signature(s *signatureFinding) {
	if s == nil {
		return
	}
	p.field("signer", s.Certificate.Subject)
	p.field("address", strings.Join(s.Certificate.Addresses, ", "))
	p.field("certificate", s.Certificate.Serial+" of "+s.Certificate.Issuer)
	p.field("SHA-256", s.Certificate.SHA256)
	if !s.Signed.IsZero() {
		p.field("signed", s.Signed.Format(time.RFC3339))
	}
	p.field("judged at", s.JudgedAt.Format(time.RFC3339))
}
