package pec

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestBriefGolden: RFC 6109 section 3.3.2.2, each case of testdata/brief whole.
func TestBriefGolden(t *testing.T) {
	cases, err := filepath.Glob("testdata/brief/*/in.eml")
	if err != nil || len(cases) < 13 {
		t.Fatalf("golden cases: got %d (%v), want at least 13", len(cases), err)
	}
	whole := map[string]string{"06-smime-opaque": "S/MIME message in one piece", "12-ambiguous": "second field Content-Type"}
	for _, path := range cases {
		dir := filepath.Dir(path)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			in, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			brief, reason, err := BriefOriginal(bytes.NewReader(in), false)
			if err != nil {
				t.Fatal(err)
			}
			want := whole[filepath.Base(dir)]
			if !strings.Contains(reason, want) || want == "" && reason != "" {
				t.Errorf("whole because of %q, want %q", reason, want)
			}
			var got bytes.Buffer
			if err := writeBodies(&got, []Body{brief}); err != nil {
				t.Fatal(err)
			}
			compareGolden(t, dir, got.Bytes())
			if want == "" {
				judgeHashes(t, in, got.Bytes())
			}
		})
	}
}

// judgeHashes is the second judge: sha1sum must find the hash of each replaced
// part in the place of the part.
func judgeHashes(t *testing.T, in, brief []byte) {
	t.Helper()
	before, after := leavesOf(t, in), leavesOf(t, brief)
	if len(before) != len(after) {
		t.Fatalf("got %d parts, want %d", len(after), len(before))
	}
	for n, p := range after {
		if !strings.HasSuffix(p.Name(), ".hash") {
			continue
		}
		sum := exec.Command("sha1sum")
		sum.Stdin = bytes.NewReader(bodyOf(t, before[n]))
		want, err := sum.Output()
		if err != nil {
			t.Fatal(err)
		}
		if got := string(bodyOf(t, p)); got != strings.Fields(string(want))[0] || p.MediaType != "text/plain" {
			t.Errorf("part %d, %s: got %s %s, want text/plain %s", n, p.Name(), p.MediaType, got, want)
		}
	}
}

// leavesOf are the parts of a message that are no multiparts, in their order.
func leavesOf(t *testing.T, message []byte) []*Part {
	t.Helper()
	root, err := Structure(readTestMessage(t, message))
	if err != nil {
		t.Fatal(err)
	}
	return leaves(root)
}

func leaves(p *Part) []*Part {
	if !p.isMultipart() {
		return []*Part{p}
	}
	var all []*Part
	for _, child := range p.Parts {
		all = append(all, leaves(child)...)
	}
	return all
}

func bodyOf(t *testing.T, p *Part) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := writeBodies(&b, []Body{p.Body()}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestBriefNotice: the brief form is what a signed notice encloses.
func TestBriefNotice(t *testing.T) {
	in, err := os.ReadFile("testdata/brief/01-attachments/in.eml")
	if err != nil {
		t.Fatal(err)
	}
	brief, _, err := BriefOriginal(bytes.NewReader(in), false)
	if err != nil {
		t.Fatal(err)
	}
	by := testIssuer(t)
	draft, err := NewNotice(Notice{Data: CertificationData{Kind: Delivery, ReceiptType: Brief}, Type: Brief, Original: brief}, by)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := draft.Sign(by)
	if err != nil {
		t.Fatal(err)
	}
	var notice bytes.Buffer
	if _, err := signed.WriteTo(&notice); err != nil {
		t.Fatal(err)
	}
	signature, err := VerifySignature(readTestMessage(t, notice.Bytes()), nil)
	if err != nil {
		t.Fatal(err)
	}
	enclosed := signature.Content.namedAll(OriginalName)
	want, err := os.ReadFile("testdata/brief/01-attachments/want.eml")
	if err != nil {
		t.Fatal(err)
	}
	if len(enclosed) != 1 || !bytes.Equal(bodyOf(t, enclosed[0]), want) {
		t.Errorf("%d parts %s, want one with the brief form", len(enclosed), OriginalName)
	}
}
