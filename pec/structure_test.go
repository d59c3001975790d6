package pec_test

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/pec-milter/pec-milter/pec"
)

// message reads a message written with LF line ends; they become CRLF.
func message(t testing.TB, text string) pec.Message {
	t.Helper()
	return rawMessage(t, strings.ReplaceAll(text, "\n", "\r\n"))
}

func rawMessage(t testing.TB, text string) pec.Message {
	t.Helper()
	m, err := pec.ReadMessage(strings.NewReader(text), int64(len(text)))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// outline writes a tree on one line: type, raw bytes of leaves, parts in
// brackets.
func outline(t testing.TB, p *pec.Part) string {
	t.Helper()
	if p.Parts == nil {
		return p.MediaType + fmt.Sprintf("%q", readBody(t, p.Body()))
	}
	var parts []string
	for _, child := range p.Parts {
		parts = append(parts, outline(t, child))
	}
	return p.MediaType + "[" + strings.Join(parts, " ") + "]"
}

func readBody(t testing.TB, b pec.Body) string {
	t.Helper()
	data, err := io.ReadAll(io.NewSectionReader(b, 0, b.Size()))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

const mixed = "Content-Type: multipart/mixed; boundary=b\n\n"

var goodStructures = []struct{ name, message, want string }{
	{"no MIME at all", "Subject: x\n\nhello\n", `text/plain"hello\r\n"`},
	{"no body", "Subject: x\n\n", `text/plain""`},
	{"two parts", mixed + "--b\n\none\n--b\nContent-Type: Text/HTML\n\n\ntwo\n\n--b--\n",
		`multipart/mixed[text/plain"one" text/html"\r\ntwo\r\n"]`},
	{"preamble and epilogue", mixed + "x\n--bx\n--b\n\none\n--b--\n\nepilogue\n--\n", `multipart/mixed[text/plain"one"]`},
	{"white space after delimiters", mixed + "--b \t\n\none\n--b-- \n", `multipart/mixed[text/plain"one"]`},
	{"no line end at the end", mixed + "--b\n\none\n--b--", `multipart/mixed[text/plain"one"]`},
	{"part without body", mixed + "--b\nContent-Type: text/html\n--b\nContent-Type: a/b\n\n--b\n--b--\n",
		`multipart/mixed[text/html"" a/b"" text/plain""]`},
	{"no parts", mixed + "--b--\n", `multipart/mixed"--b--\r\n"`},
	{"nested", mixed + "--b\nContent-Type: multipart/alternative;\n\tboundary=\"c d\"\n\n--c d\n\n1\n--c d--\nepilogue\n--b\n\n2\n--b--\n",
		`multipart/mixed[multipart/alternative[text/plain"1"] text/plain"2"]`},
	{"SG-08 boundary is prefix of the inner one", mixed + "--b\nContent-Type: multipart/mixed; boundary=bb\n\n--bb\n\n1\n--bb--\n--b--\n",
		`multipart/mixed[multipart/mixed[text/plain"1"]]`},
	{"SG-08 inner boundary is prefix of the outer one",
		"Content-Type: multipart/mixed; boundary=bb\n\n--bb\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\n1\n--b--\n--bb--\n",
		`multipart/mixed[multipart/mixed[text/plain"1"]]`},
	{"SG-08 boundary of 70 characters", "Content-Type: multipart/mixed; boundary=" + longBoundary(70) + "\n\n--" + longBoundary(70) +
		"\n\n1\n--" + longBoundary(70) + "--\n", `multipart/mixed[text/plain"1"]`},
	{"delimiter inside a line", mixed + "--b\n\nx--b\n --b\n--b--\n", `multipart/mixed[text/plain"x--b\r\n --b"]`},
	{"attached message stays closed", mixed + "--b\nContent-Type: message/rfc822\n\nContent-Type: multipart/mixed; boundary=c\n\n--c\n\n1\n--b--\n",
		`multipart/mixed[message/rfc822"Content-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\n\r\n1"]`},
	{"parameters that cannot be read, in a leaf", "Content-Type: text/html; charset\n\nx", `text/html"x"`},
}

func longBoundary(n int) string { return strings.Repeat("x", n) }

func TestStructure(t *testing.T) {
	for _, test := range goodStructures {
		t.Run(test.name, func(t *testing.T) {
			root, err := pec.Structure(message(t, test.message))
			if err != nil {
				t.Fatal(err)
			}
			if got := outline(t, root); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
			root, err = pec.Structure(rawMessage(t, test.message))
			if err != nil {
				t.Fatalf("with LF: %v", err)
			}
			if got, want := outline(t, root), strings.ReplaceAll(test.want, `\r\n`, `\n`); got != want {
				t.Errorf("with LF: got  %s\nwant %s", got, want)
			}
		})
	}
}

func TestStructureRefused(t *testing.T) {
	nested := func(encoding string) string {
		return mixed + "--b\nContent-Type: multipart/mixed; boundary=c\n" + encoding + "\n--c\n\n1\n"
	}
	for _, test := range []struct {
		name, message string
		want          error
	}{
		{"SG-07 two Content-Type", "Content-Type: text/plain\n" + mixed + "--b\n\n1\n--b--\n", pec.ErrAmbiguous},
		{"SG-07 two Content-Type in a part", mixed + "--b\nContent-Type: a/b\ncontent-type: c/d\n\n1\n--b--\n", pec.ErrAmbiguous},
		{"SG-07 two Content-Transfer-Encoding", "Content-Transfer-Encoding: 7bit\nContent-Transfer-Encoding: base64\n\n", pec.ErrAmbiguous},
		{"SG-07 two MIME-Version", "MIME-Version: 1.0\nMIME-Version: 1.0\n\n", pec.ErrAmbiguous},
		{"SG-08 no boundary", "Content-Type: multipart/mixed\n\n", pec.ErrAmbiguous},
		{"SG-08 empty boundary", "Content-Type: multipart/mixed; boundary=\"\"\n\n--\n\n1\n----\n", pec.ErrAmbiguous},
		{"SG-08 boundary of 71 characters", "Content-Type: multipart/mixed; boundary=" + longBoundary(71) + "\n\n", pec.ErrAmbiguous},
		{"SG-08 boundary twice", "Content-Type: multipart/mixed; boundary=b; boundary=c\n\n--b--\n", pec.ErrAmbiguous},
		{"SG-08 boundary in pieces", "Content-Type: multipart/mixed; boundary*0=b\n\n--b--\n", pec.ErrAmbiguous},
		{"SG-08 boundary encoded too", "Content-Type: multipart/mixed; boundary=b; boundary*=us-ascii''c\n\n--b--\n", pec.ErrAmbiguous},
		{"SG-08 boundary with escapes", "Content-Type: multipart/mixed; boundary=\"b\\\"c\"\n\n--b\"c--\n", pec.ErrAmbiguous},
		{"SG-08 boundary with a backslash", "Content-Type: multipart/mixed; boundary=\"b\\\\c\"\n\n--b\\c--\n", pec.ErrAmbiguous},
		{"SG-08 boundary that ends with a space", "Content-Type: multipart/mixed; boundary=\"b \"\n\n--b --\n", pec.ErrAmbiguous},
		{"SG-08 unquoted boundary with tspecials", "Content-Type: multipart/mixed; boundary=b=c\n\n--b=c--\n", pec.ErrAmbiguous},
		{"comment in Content-Type", "Content-Type: (x) multipart/mixed; boundary=b\n\n--b--\n", pec.ErrAmbiguous},
		{"parameter twice in a leaf", "Content-Type: a/b; name=daticert.xml; name=x\n\n", pec.ErrAmbiguous},
		{"same boundary inside", mixed + "--b\n" + mixed + "--b\n\n1\n--b--\n--b--\n", pec.ErrAmbiguous},
		{"same boundary inside, closed once", mixed + "--b\n" + mixed + "--b\n\n1\n--b--\n", pec.ErrAmbiguous},
		{"line is delimiter and closing delimiter", mixed + "--b\nContent-Type: multipart/mixed; boundary=b--\n\n--b--\n\n1\n--b----\n--b--\n", pec.ErrAmbiguous},
		{"delimiter in the epilogue", mixed + "--b\n\n1\n--b--\n--b\n\n2\n--b--\n", pec.ErrAmbiguous},
		{"multipart in base64", nested("Content-Transfer-Encoding: base64\n") + "--c--\n--b--\n", pec.ErrAmbiguous},
		{"delimiter line without end", mixed + "--b" + strings.Repeat(" ", 70_000) + "\n\n1\n--b--\n", pec.ErrAmbiguous},
		{"truncated before the closing delimiter", mixed + "--b\n\none\n", pec.ErrUnclosed},
		{"truncated in the closing delimiter", mixed + "--b\n\none\n--b-", pec.ErrUnclosed},
		{"truncated in a header section", mixed + "--b\nContent-Type: a/b", pec.ErrUnclosed},
		{"no delimiter", mixed + "x\n", pec.ErrUnclosed},
		{"inner multipart not closed", nested("") + "--b--\n", pec.ErrUnclosed},
		{"inner multipart without body", mixed + "--b\nContent-Type: multipart/mixed; boundary=c\n--b--\n", pec.ErrUnclosed},
		{"no field in a part", mixed + "--b\nhello\n\n1\n--b--\n", pec.ErrPartHeader},
		{"space before the colon", mixed + "--b\nContent-Type : a/b\n\n1\n--b--\n", pec.ErrAmbiguous},
		{"lone CR in a part's header", mixed + "--b\nX: y\rContent-Type: a/b\n\n1\n--b--\n", pec.ErrPartHeader},
		{"lone CR in Content-Type", "Content-Type: text/plain\r; x=y\n\n", pec.ErrAmbiguous},
		{"huge field in a part", mixed + "--b\nX: " + strings.Repeat("y", 70_000) + "\n\n1\n--b--\n", pec.ErrPartHeader},
		{"many fields in a part", mixed + "--b\n" + strings.Repeat("X:\n", 1000) + "\n1\n--b--\n", pec.ErrPartHeader},
		{"many header sections", mixed + strings.Repeat("--b\n"+strings.Repeat("X:\n", 900)+"\n1\n", 100) + "--b--\n", pec.ErrPartHeader},
		{"RS-01 33 deep", deep(33), pec.ErrTooDeep},
		{"RS-02 10,001 parts", mixed + strings.Repeat("--b\n\n", 10_001) + "--b--\n", pec.ErrTooManyParts},
	} {
		t.Run(test.name, func(t *testing.T) {
			root, err := pec.Structure(message(t, test.message))
			if root != nil || !errors.Is(err, test.want) || !errors.Is(err, pec.ErrStructure) {
				t.Errorf("got %v, error %v, want ErrStructure: %v", root, err, test.want)
			}
		})
	}
}

// deep nests n multiparts.
func deep(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "Content-Type: multipart/mixed; boundary=b%d.\n\n--b%d.\n", i, i)
	}
	b.WriteString("\nx\n")
	for i := range n {
		fmt.Fprintf(&b, "--b%d.--\n", n-1-i)
	}
	return b.String()
}

func TestStructureLimits(t *testing.T) {
	if _, err := pec.Structure(message(t, deep(pec.MaxDepth))); err != nil {
		t.Errorf("RS-01 depth %d: %v", pec.MaxDepth, err)
	}
	if _, err := pec.Structure(message(t, mixed+strings.Repeat("--b\n\n", pec.MaxParts)+"--b--\n")); err != nil {
		t.Errorf("RS-02 %d parts: %v", pec.MaxParts, err)
	}
}

func TestStructureCost(t *testing.T) {
	for _, test := range []struct {
		name, message string
		want          error
	}{
		{"RS-01 20,000 deep", deep(20_000), pec.ErrTooDeep},
		{"RS-02 1,000,000 parts", mixed + strings.Repeat("--b\n\n", 1_000_000) + "--b--\n", pec.ErrTooManyParts},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := message(t, test.message)
			var err error
			if took := fastest(func() { _, err = pec.Structure(m) }); took > 50*time.Millisecond*slowdown {
				t.Errorf("took %v, want less than 50ms (times %d)", took, slowdown)
			}
			if !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
		})
	}
}

// repeated is a body of size bytes: a head, one line again and again, a tail.
type repeated struct {
	head, line, tail string
	size             int64
}

func (r repeated) Size() int64 { return r.size }

func (r repeated) ReadAt(p []byte, at int64) (int, error) {
	tail := r.size - int64(len(r.tail))
	n := 0
	for n < len(p) {
		switch at := at + int64(n); {
		case at >= r.size:
			return n, io.EOF
		case at < int64(len(r.head)):
			n += copy(p[n:], r.head[at:])
		case at < tail:
			from := (at - int64(len(r.head))) % int64(len(r.line))
			n += copy(p[n:min(int64(len(p)), int64(n)+tail-at)], r.line[from:])
		default:
			n += copy(p[n:], r.tail[at-tail:])
		}
	}
	return n, nil
}

func TestStructureMemory(t *testing.T) {
	body := repeated{"--b\r\n\r\n", strings.Repeat("x", 76) + "\r\n", "\r\n--b--\r\n", 100 << 20}
	m := pec.Message{Header: pec.Header{pec.NewField("Content-Type", "multipart/mixed; boundary=b")}, Body: body}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	root, err := pec.Structure(m)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := pec.DigestSigned(root.Parts[0].Raw()); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > 1<<20 {
		t.Errorf("100 MiB took %d bytes of memory, want less than 1 MiB", got)
	}
	if got, want := root.Parts[0].Body().Size(), int64(100<<20-len(body.head)-len(body.tail)); got != want {
		t.Errorf("body has %d bytes, want %d", got, want)
	}
}

// brokenBody fails to be read after its first bytes.
type brokenBody struct{ pec.Body }

var errDisk = errors.New("disk on fire")

func (b brokenBody) ReadAt(p []byte, at int64) (int, error) {
	if at+int64(len(p)) > 20 {
		p = p[:max(0, 20-at)]
	}
	n, _ := b.Body.ReadAt(p, at)
	return n, errDisk
}

func TestStructureReadingFails(t *testing.T) {
	m := message(t, mixed+"--b\n\n"+strings.Repeat("one\n", 100)+"--b--\n")
	m.Body = brokenBody{m.Body}
	_, err := pec.Structure(m)
	if !errors.Is(err, errDisk) || errors.Is(err, pec.ErrStructure) {
		t.Errorf("got %v, want the error of reading alone", err)
	}
}
