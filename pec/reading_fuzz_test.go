package pec_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pec-milter/pec-milter/pec"
)

// seeds reads the files that fit a pattern; there must be some.
func seeds(t testing.TB, pattern string, least int) map[string][]byte {
	t.Helper()
	paths, err := filepath.Glob(pattern)
	if err != nil || len(paths) < least {
		t.Fatalf("%s: %d files (%v), want at least %d", pattern, len(paths), err, least)
	}
	files := make(map[string][]byte)
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		files[filepath.Base(path)] = data
	}
	return files
}

// TestSignatureSeeds: the seeds of FuzzSignature are what their names say.
func TestSignatureSeeds(t *testing.T) {
	content := seeds(t, "testdata/signature/content.eml", 1)["content.eml"]
	for name, der := range seeds(t, "testdata/signature/*.p7s", 12) {
		sig, err := verify(t, signedMessage(string(content), der))
		switch {
		case strings.HasPrefix(name, "good-") && err != nil:
			t.Errorf("%s: %v, want a good signature", name, err)
		case strings.HasPrefix(name, "bad-") && !errors.Is(err, pec.ErrBadSignature):
			t.Errorf("%s: got %v, %v, want ErrBadSignature", name, sig, err)
		}
	}
}

// FuzzSignature: SG-33, only ErrBadSignature comes of a signature, and a good one does
// not hold for another content.
func FuzzSignature(f *testing.F) {
	content := seeds(f, "testdata/signature/content.eml", 1)["content.eml"]
	for _, der := range seeds(f, "testdata/signature/*.p7s", 12) {
		f.Add(der, uint16(60))
	}
	f.Fuzz(func(t *testing.T, der []byte, at uint16) {
		start := time.Now()
		sig, err := verify(t, signedMessage(string(content), der))
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("took %v", took)
		}
		if err != nil {
			if sig != nil || !errors.Is(err, pec.ErrBadSignature) {
				t.Fatalf("got %v, %v, want ErrBadSignature alone", sig, err)
			}
			return
		}
		want, err := pec.DigestSigned(bytes.NewReader(content))
		if err != nil || sig.Digest != want || sig.Certificate == nil {
			t.Errorf("digest is %x of %v, want %x (%v)", sig.Digest, sig.Certificate, want, err)
		}
		other := bytes.Clone(content)
		other[int(at)%len(other)] ^= 1
		if sig, _ := verify(t, signedMessage(string(other), der)); sig != nil {
			t.Errorf("the signature holds for %q too", other)
		}
	})
}

// FuzzStructure: parts lie inside one another and in order, and each is a
// message of its own with the same structure.
func FuzzStructure(f *testing.F) {
	for _, s := range goodStructures {
		f.Add([]byte(s.message))
		f.Add([]byte(strings.ReplaceAll(s.message, "\n", "\r\n")))
	}
	f.Add([]byte(deep(40)))
	for _, signed := range seeds(f, "testdata/golden/*/want.eml", 10) {
		f.Add(signed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := pec.ReadMessage(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			return
		}
		start := time.Now()
		root, err := pec.Structure(m)
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("took %v", took)
		}
		if err != nil {
			if root != nil || !errors.Is(err, pec.ErrStructure) {
				t.Fatalf("got %v, %v, want ErrStructure alone", root, err)
			}
			return
		}
		checkExtents(t, root)
		for _, p := range root.Parts {
			checkAlone(t, p)
		}
	})
}

// FuzzVerify: SG-04, SG-08: whatever is inside whatever, each place has a report
// with all steps, and nothing is genuine without a signature that holds.
func FuzzVerify(f *testing.F) {
	for _, signed := range seeds(f, "testdata/golden/*/want.eml", 10) {
		f.Add(signed)
		f.Add([]byte(forwarded(string(signed))))
		f.Add([]byte(listed(string(signed))))
	}
	f.Add([]byte(forwarded(forwarded("X-Ricevuta: x\r\n\r\nx"))))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := pec.ReadMessage(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			return
		}
		places := map[string]bool{}
		err = pec.WalkPEC(m, func(found pec.Found) error {
			if places[found.Place] || strings.Count(found.Place, ".") > 2*pec.MaxDepth*pec.MaxNested {
				t.Errorf("place %q is found again, or is too deep", found.Place)
			}
			places[found.Place] = true
			checkAnyReport(t, found)
			return nil
		})
		if err != nil && !errors.Is(err, pec.ErrStructure) {
			t.Errorf("an error of reading bytes in memory: %v", err)
		}
	})
}

func checkAnyReport(t *testing.T, found pec.Found) {
	t.Helper()
	if found.Err != nil {
		return
	}
	r, err := pec.Verify(found.Message, pec.Verification{Now: time.Unix(1_800_000_000, 0), WithoutLists: true, Root: found.Root, Bare: found.Bare})
	if err != nil || len(r.Checks) != 14 {
		t.Fatalf("%d checks, %v, want all 14", len(r.Checks), err)
	}
	if r.Genuine() || r.Provider != nil || r.Correct() {
		t.Errorf("genuine with no authority that is trusted\n%s", outcome(r))
	}
	if good := r.Check(pec.StepSignature).Result == pec.Passed; good != (r.Signature != nil) {
		t.Errorf("signature %v, check %v", r.Signature, r.Check(pec.StepSignature))
	}
}

// extent is where a body lies in the message's.
func extent(t testing.TB, b pec.Body) (start, end int64) {
	t.Helper()
	_, start, size := b.(*io.SectionReader).Outer()
	return start, start + size
}

func checkExtents(t *testing.T, p *pec.Part) {
	t.Helper()
	start, end := extent(t, p.Raw())
	body, bodyEnd := extent(t, p.Body())
	if start > body || body > end || end != bodyEnd {
		t.Errorf("part is at %d to %d, its body at %d to %d", start, end, body, bodyEnd)
	}
	last := body
	for _, child := range p.Parts {
		childStart, childEnd := extent(t, child.Raw())
		if childStart < last || childEnd < childStart || childEnd > end {
			t.Errorf("part at %d to %d is not after %d and inside %d to %d", childStart, childEnd, last, body, end)
		}
		last = childEnd
		checkExtents(t, child)
	}
}

// checkAlone reads a part as a message.
func checkAlone(t *testing.T, p *pec.Part) {
	t.Helper()
	raw := p.Raw()
	m, err := pec.ReadMessage(raw, raw.Size())
	if err != nil {
		t.Fatalf("part %q is no message: %v", readBody(t, raw), err)
	}
	alone, err := pec.Structure(m)
	if err != nil {
		t.Fatalf("part %q alone: %v", readBody(t, raw), err)
	}
	if got, want := outline(t, alone), outline(t, p); got != want || !slices.Equal(alone.Header, p.Header) {
		t.Errorf("part alone is %s, in its message %s", got, want)
	}
}
