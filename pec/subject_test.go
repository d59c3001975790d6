package pec

import (
	"strings"
	"testing"
)

func TestSubjectField(t *testing.T) {
	for _, c := range []struct{ name, encoded, subject, want string }{
		{"plain", " Prova", "Prova", "Subject: CONSEGNA: Prova\r\n"},
		{"no space after the colon", "Prova", "Prova", "Subject: CONSEGNA: Prova\r\n"},
		{"encoded stays as it was", " =?iso-8859-1?q?perch=E9?=", "perché", "Subject: CONSEGNA: =?iso-8859-1?q?perch=E9?=\r\n"},
		{"folded stays folded", " uno\r\n due", "uno due", "Subject: CONSEGNA: uno\r\n due\r\n"},
		{"not known: encoded anew", "", "perché", "Subject: CONSEGNA: =?utf-8?q?perch=C3=A9?=\r\n"},
		{"changed on the way: the certified one", " Altro", "Prova", "Subject: CONSEGNA: Prova\r\n"},
		{"none", "", "", "Subject: CONSEGNA: \r\n"},
		{"IN-01 line end and field", " ciao\r\nX-Ricevuta: avvenuta-consegna", "ciaoX-Ricevuta: avvenuta-consegna",
			"Subject: CONSEGNA: ciaoX-Ricevuta: avvenuta-consegna\r\n"},
		{"IN-01 bare CR", " a\rb", "ab", "Subject: CONSEGNA: ab\r\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := subjectField("CONSEGNA:", c.encoded, c.subject).String(); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// TestDecodedSubject: IN-02, an encoded word may hold anything, even fields.
func TestDecodedSubject(t *testing.T) {
	for _, c := range []struct{ name, value, want string }{
		{"IN-02 line end inside", "=?utf-8?q?a=0D=0AX-Ricevuta:_x?=", "a  X-Ricevuta: x"},
		{"IN-04 direction marks", "=?utf-8?q?a=E2=80=AEb?=", "a b"},
		{"windows-1252", "=?windows-1252?q?=80uro?=", "€uro"},
		{"unknown charset stays", "=?x-none?q?a?=", "=?x-none?q?a?="},
		{"bad UTF-8", "a\xffb", "a\uFFFDb"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := DecodeText(c.value); got != c.want {
				t.Errorf("DecodeText(%q) = %q, want %q", c.value, got, c.want)
			}
		})
	}
}

// FuzzSubject: IN-01, IN-02, whatever a subject is, the field is one field, and is
// read again as prefix and subject.
func FuzzSubject(f *testing.F) {
	for _, s := range []string{"Prova", "perché", "=?utf-8?q?x?=", "a\r\nX: y", strings.Repeat("lungo ", 300), "?= =?"} {
		f.Add(" "+s, s)
	}
	f.Fuzz(func(t *testing.T, encoded, subject string) {
		subject = DecodeText(subject)
		field := subjectField("CONSEGNA:", encoded, subject)
		wire := field.String()
		for line := range strings.SplitSeq(strings.TrimSuffix(wire[len("Subject:"):], "\r\n"), "\r\n") {
			if line == "" || !isBlank(line[0]) && !strings.HasPrefix(wire, "Subject:"+line) {
				t.Errorf("a line could be a field: %q", wire)
			}
		}
		want := strings.TrimSpace("CONSEGNA: " + subject)
		if got := DecodeText(field.Text()); strings.Join(strings.Fields(got), " ") != strings.Join(strings.Fields(want), " ") {
			t.Errorf("subjectField(%q, %q) decodes to %q, want %q", encoded, subject, got, want)
		}
	})
}
