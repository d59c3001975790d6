package pec

import (
	"embed"
	"fmt"
	"html"
	"strings"
	"text/template"
)

// The readable texts, one file each, with how sure we are of the words: a
// person who has the Italian annex at hand can correct them there.
//
//go:embed texts/*.txt
var textFiles embed.FS

var texts = template.Must(template.ParseFS(textFiles, "texts/*.txt"))

// textFacts is what the texts may say.
type textFacts struct {
	Date       string
	Subject    string
	Sender     string
	Recipients []flaggedRecipient
	TakenFor   []string
	Delivered  string
	Detail     string
	Virus      string
	ID         string

	// Of a re-issue alone.
	Today, Provider, Issued, NoticeID string
	Enclosed                          bool // the notice enclosed the original message
}

type flaggedRecipient struct{ Address, Flag string }

// readableText is the readable part of a message, in UTF-8 with LF line ends:
// the template of that name filled with the certification data.
func readableText(name string, d *CertificationData, virus string) (string, error) {
	facts := textFacts{
		Date: readableDate(d.Time), Subject: withoutControls(d.Subject), Sender: withoutControls(d.Sender),
		Delivered: withoutControls(d.Delivered), Detail: d.Detail, Virus: withoutControls(virus), ID: withoutControls(d.ID),
	}
	for _, r := range d.Recipients {
		facts.Recipients = append(facts.Recipients, flaggedRecipient{withoutControls(r.Address), recipientFlag(r.Kind)})
	}
	for _, address := range d.TakenFor {
		facts.TakenFor = append(facts.TakenFor, withoutControls(address))
	}
	return filled(name, facts)
}

// filled is the template of that name, filled.
func filled(name string, facts textFacts) (string, error) {
	var b strings.Builder
	if err := texts.ExecuteTemplate(&b, name+".txt", facts); err != nil {
		return "", fmt.Errorf("text %s: %w", name, err)
	}
	return b.String(), nil
}

// recipientFlag is what an acceptance says of a recipient, RFC 6109 section 3.1.4.
func recipientFlag(kind RecipientKind) string {
	if kind == Certified {
		return "posta certificata"
	}
	return "posta ordinaria"
}

// htmlText has the same words as a readable text: no style, no reference, no
// active content (RFC 6109 section 4.3.1).
func htmlText(text string) string {
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	for i := range lines {
		lines[i] = html.EscapeString(lines[i])
	}
	return "<html><head><title>" + lines[0] + "</title></head><body>\n<h3>" + lines[0] + "</h3>\n" +
		strings.Join(lines[1:], "<br>\n") + "\n</body></html>\n"
}

// latin1 converts UTF-8 to ISO-8859-1. What does not fit is transliterated
// where that is usual, else replaced by a question mark.
func latin1(text string) []byte {
	b := make([]byte, 0, len(text))
	for _, r := range text {
		switch {
		case r < 0x80, 0xa0 <= r && r <= 0xff:
			b = append(b, byte(r))
		default:
			b = append(b, transliterated(r)...)
		}
	}
	return b
}

var transliterations = strings.NewReplacer(
	"‘", "'", "’", "'", "‚", "'", "“", `"`, "”", `"`, "„", `"`, "–", "-", "—", "-", "−", "-",
	"…", "...", "€", "EUR", "•", "-", "\u202f", " ", "\u2009", " ", "™", "(TM)", "Œ", "OE", "œ", "oe",
	"Š", "S", "š", "s", "Ž", "Z", "ž", "z", "Č", "C", "č", "c", "Ć", "C", "ć", "c", "Đ", "D", "đ", "d",
)

func transliterated(r rune) string {
	if s := transliterations.Replace(string(r)); s[0] < 0x80 {
		return s
	}
	return "?"
}
