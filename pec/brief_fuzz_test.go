package pec_test

import (
	"bytes"
	"crypto/sha1"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pec-milter/pec-milter/pec"
)

// sources reads the files that fit a pattern; there must be some, and none may
// be empty.
func sources(t testing.TB, pattern string, least int) [][]byte {
	t.Helper()
	paths, err := filepath.Glob(pattern)
	if err != nil || len(paths) < least {
		t.Fatalf("%s: %d files (%v), want at least %d", pattern, len(paths), err, least)
	}
	var files [][]byte
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil || len(data) == 0 {
			t.Fatalf("%s: %d bytes, %v", path, len(data), err)
		}
		files = append(files, data)
	}
	return files
}

func briefSeeds(t testing.TB) [][]byte {
	all := sources(t, "testdata/brief/*/in.eml", 13)
	all = append(all, sources(t, "testdata/brief/*/want.eml", 13)...)
	for _, s := range goodStructures {
		all = append(all, []byte(s.message), []byte(strings.ReplaceAll(s.message, "\n", "\r\n")))
	}
	return append(all, []byte(deep(40)))
}

// TestBriefSeeds: the seeds of FuzzBrief keep what FuzzBrief demands, and most
// are such as it has something to do with.
func TestBriefSeeds(t *testing.T) {
	replaced := 0
	for _, data := range briefSeeds(t) {
		for _, decoded := range []bool{false, true} {
			replaced += checkBrief(t, data, decoded)
		}
	}
	if replaced < 50 {
		t.Errorf("%d parts were replaced in all seeds, want many", replaced)
	}
}

// FuzzBrief: the brief form has the same tree of parts; each of them is as it
// was, or the text file with its hash.
func FuzzBrief(f *testing.F) {
	for _, data := range briefSeeds(f) {
		f.Add(data, false)
		f.Add(data, true)
	}
	f.Fuzz(func(t *testing.T, data []byte, decoded bool) { checkBrief(t, data, decoded) })
}

// checkBrief gives the number of parts that were replaced.
func checkBrief(t *testing.T, data []byte, decoded bool) int {
	t.Helper()
	start := time.Now()
	brief, whole, err := pec.BriefOriginal(bytes.NewReader(data), decoded)
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("took %v", took)
	}
	if err != nil {
		t.Fatalf("got %v: nothing fails to be read here", err)
	}
	got := readBody(t, brief)
	if whole != "" {
		if got != string(data) {
			t.Errorf("whole because of %q: got %q, want %q", whole, got, data)
		}
		return 0
	}
	before, err := tree(string(data))
	if err != nil {
		t.Fatalf("no reason to be whole, but %v", err)
	}
	after, err := tree(got)
	if errors.Is(err, pec.ErrPartHeader) {
		return 0 // the names made a header section too large for us
	}
	if err != nil {
		t.Fatalf("brief form %q: %v", got, err)
	}
	c := &briefCheck{T: t, decoded: decoded}
	c.part(before, after, false)
	if got, want := skeleton(t, after), skeleton(t, before); got != want {
		t.Errorf("between the parts there is %q, want %q", got, want)
	}
	return c.replaced
}

func tree(message string) (*pec.Part, error) {
	m, err := pec.ReadMessage(strings.NewReader(message), int64(len(message)))
	if err != nil {
		return nil, err
	}
	return pec.Structure(m)
}

func isMultipart(p *pec.Part) bool { return strings.HasPrefix(p.MediaType, "multipart/") }

// skeleton is the body of a multipart without its parts that are none.
func skeleton(t *testing.T, p *pec.Part) string {
	t.Helper()
	if !isMultipart(p) {
		return ""
	}
	body := readBody(t, p.Body())
	offset, _ := extent(t, p.Body())
	var b strings.Builder
	var done int64
	for _, child := range p.Parts {
		start, end := extent(t, child.Raw())
		b.WriteString(body[done:start-offset] + skeleton(t, child))
		done = end - offset
	}
	return b.String() + body[done:]
}

type briefCheck struct {
	*testing.T
	decoded  bool
	replaced int
}

// part compares a part with what became of it. left tells that it is the
// signature of an S/MIME message.
func (c *briefCheck) part(before, after *pec.Part, left bool) {
	c.Helper()
	same := slices.Equal(before.Header, after.Header)
	if isMultipart(before) {
		if !same || len(before.Parts) != len(after.Parts) {
			c.Fatalf("multipart has %d parts, header %q, want %d, %q", len(after.Parts), after.Header, len(before.Parts), before.Header)
		}
		for n := range before.Parts {
			signature := strings.HasSuffix(before.Parts[n].MediaType, "-signature")
			c.part(before.Parts[n], after.Parts[n], n == 1 && before.MediaType == "multipart/signed" && signature)
		}
		return
	}
	if same && readBody(c, before.Body()) == readBody(c, after.Body()) {
		if !left && (before.Name() != "" || before.MediaType == "message/rfc822") && !c.isHash(before, after) {
			c.Errorf("part %q is not replaced", before.Header)
		}
		return
	}
	c.replaced++
	if !c.isHash(before, after) {
		c.Errorf("part %q became %q, %q", before.Header, after.Header, readBody(c, after.Body()))
	}
}

func (c *briefCheck) isHash(before, after *pec.Part) bool {
	c.Helper()
	canonical := strings.ReplaceAll(strings.ReplaceAll(readBody(c, before.Body()), "\r\n", "\n"), "\n", "\r\n")
	body, name := readBody(c, after.Body()), after.Name()
	return after.MediaType == "text/plain" && len(body) == 40 && (c.decoded || body == fmt.Sprintf("%x", sha1.Sum([]byte(canonical)))) &&
		strings.HasSuffix(name, ".hash") && !strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || strings.ContainsRune("/\\\"", r) })
}
