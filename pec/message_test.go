package pec

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"
)

func TestReadMessage(t *testing.T) {
	for _, c := range []struct {
		name, in string
		fields   int
		body     string
		same     bool // WriteTo gives the same bytes
	}{
		{"plain", "A: b\r\nC: d\r\n\r\nx\r\n", 2, "x\r\n", true},
		{"folded, tabs, empty value", "A: b\r\n\tc\r\n  d\r\nE:\r\n\r\n", 2, "", true},
		{"white space before the colon", "Subject : x\r\n\r\ny", 1, "y", true},
		{"8-bit", "A: perch\xe9\r\n\r\n\xe9", 1, "\xe9", true},
		{"LF alone", "A: b\n c\n\nx\n", 1, "x\n", false},
		{"no body, no empty line", "A: b\r\n", 1, "", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, err := ReadMessage(strings.NewReader(c.in), int64(len(c.in)))
			if err != nil {
				t.Fatal(err)
			}
			var b bytes.Buffer
			if _, err := m.WriteTo(&b); err != nil {
				t.Fatal(err)
			}
			_, body, _ := strings.Cut(b.String(), "\r\n\r\n")
			if len(m.Header) != c.fields || body != c.body {
				t.Errorf("got %d fields, body %q, want %d, %q", len(m.Header), body, c.fields, c.body)
			}
			if got := b.String() == c.in; got != c.same {
				t.Errorf("WriteTo gives the same bytes: %v, want %v: %q", got, c.same, b.String())
			}
		})
	}
}

func TestReadMessageRefused(t *testing.T) {
	long := "A: " + strings.Repeat(strings.Repeat("x", 70)+"\r\n ", MaxHeader/70)
	for name, in := range map[string]string{
		"empty":               "",
		"no field":            "hello\r\n\r\n",
		"a line that is none": "A: b\r\nhello\r\n\r\n",
		"FM-30 too large":     long + "\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			if m, err := ReadMessage(strings.NewReader(in), int64(len(in))); err == nil && name != "empty" {
				t.Errorf("got %d fields, want an error", len(m.Header))
			} else if name == "no field" && !errors.Is(err, ErrNoHeader) {
				t.Errorf("got %v, want ErrNoHeader", err)
			}
		})
	}
}

// TestReadMessageLongField: a field of 1 MB in many lines is read in time that
// grows with its length alone.
func TestReadMessageLongField(t *testing.T) {
	in := "A: " + strings.Repeat("x\r\n ", 1<<18) + "\r\n\r\n"
	start := time.Now()
	if _, err := ReadMessage(strings.NewReader(in), int64(len(in))); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("took %v", took)
	}
}

func TestSameAddress(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"a@b.example", "a@B.Example", true},
		{"A@b.example", "a@b.example", false},
		{`"a b"@c.example`, "a b@c.example", true},
		{`"a\"b"@c.example`, `a"b@c.example`, true},
		{"a", "a", false},
		{"a@b.example", "a@b.example.org", false},
	} {
		if got := SameAddress(c.a, c.b); got != c.want {
			t.Errorf("SameAddress(%q, %q) = %v, want %v", c.a, c.b, got, c.want)
		}
	}
}
