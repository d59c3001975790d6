package pec_test

import (
	"crypto/sha1"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/pec-milter/pec-milter/pec"
)

// original is a whole message written with LF line ends; they become CRLF.
func original(text string) pec.Body {
	return strings.NewReader(strings.ReplaceAll(text, "\n", "\r\n"))
}

func briefOf(t testing.TB, b pec.Body, decoded bool) string {
	t.Helper()
	brief, whole, err := pec.BriefOriginal(b, decoded)
	if err != nil || whole != "" {
		t.Fatalf("got %q, %v, want the brief form", whole, err)
	}
	return readBody(t, brief)
}

// TestBriefHash: what is hashed, as transferred and decoded.
func TestBriefHash(t *testing.T) {
	for _, test := range []struct{ name, encoding, body, want, decoded string }{
		{"base64", "base64", "Y2Vy\ndGE=\n", "Y2Vy\r\ndGE=\r\n", "certa"},
		{"base64 that does not decode", "base64", "Y2Vy=dGE=\n", "Y2Vy=dGE=\r\n", "Y2Vy=dGE=\r\n"},
		{"quoted-printable", "quoted-printable", "perch=E9\n", "perch=E9\r\n", "perch\xe9\r\n"},
		{"8bit", "8bit", "perch\xe9\n", "perch\xe9\r\n", "perch\xe9\r\n"},
		{"unknown encoding", "x-uuencode", "begin\n", "begin\r\n", "begin\r\n"},
		{"nothing", "7bit", "", "", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			message := "Content-Type: a/b; name=c\nContent-Transfer-Encoding: " + test.encoding + "\n\n" + test.body
			for decoded, hashed := range map[bool]string{false: test.want, true: test.decoded} {
				got := briefOf(t, original(message), decoded)
				if want := fmt.Sprintf("\r\n\r\n%x", sha1.Sum([]byte(hashed))); !strings.HasSuffix(got, want) {
					t.Errorf("decoded %v: got %q, want it to end in the hash of %q, %q", decoded, got, hashed, want)
				}
			}
		})
	}
}

// TestBriefLineEnds: a message that a mail client saved with LF gives the hash
// of what was transferred.
func TestBriefLineEnds(t *testing.T) {
	const message = "Content-Type: a/b; name=c\n\none\ntwo\n"
	got, want := briefOf(t, strings.NewReader(message), false), briefOf(t, original(message), false)
	if got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestBriefWhole: the notification is owed, whatever the structure is like.
func TestBriefWhole(t *testing.T) {
	const named = "Content-Type: a/b; name=c\n\n1\n"
	for _, test := range []struct{ name, message, want string }{
		{"S/MIME", "Content-Type: Application/X-PKCS7-MIME; name=smime.p7m\n\n1\n", "application/x-pkcs7-mime"},
		{"truncated", mixed + "--b\n" + named, "not closed"},
		{"no header", "hello\n", "does not begin with a header field"},
		{"bad header", "X: y\nhello\n\n1\n", "no header field"},
		{"RS-01 20,000 deep", deep(20_000), "nested more than 32 deep"},
		{"RS-02 1,000,000 parts", mixed + strings.Repeat("--b\n\n", 1_000_000) + "--b--\n", "more than 10000 parts"},
	} {
		t.Run(test.name, func(t *testing.T) {
			in := original(test.message)
			var brief pec.Body
			var whole string
			var err error
			if took := fastest(func() { brief, whole, err = pec.BriefOriginal(in, false) }); took > 50*time.Millisecond*slowdown {
				t.Errorf("took %v, want less than 50ms (times %d)", took, slowdown)
			}
			if err != nil || brief != in || !strings.Contains(whole, test.want) {
				t.Errorf("got %v, %q, %v, want the same body because of %q", brief, whole, err, test.want)
			}
		})
	}
}

// failsAfter is a body that fails from a byte on.
type failsAfter struct {
	pec.Body
	good int64
}

func (b failsAfter) ReadAt(p []byte, at int64) (int, error) {
	if at+int64(len(p)) > b.good {
		return 0, errDisk
	}
	return b.Body.ReadAt(p, at)
}

// TestBriefReadingFails: a fault of the disk is never taken for one of the
// message.
func TestBriefReadingFails(t *testing.T) {
	in := original(mixed + "--b\nContent-Type: a/b; name=c\n\n" + strings.Repeat("one\n", 50_000) + "--b--\n")
	for _, good := range []int64{0, 20, 100, 70_000} {
		brief, whole, err := pec.BriefOriginal(failsAfter{in, good}, false)
		if brief != nil || whole != "" || !errors.Is(err, errDisk) {
			t.Errorf("fails after %d: got %v, %q, %v, want the error of reading alone", good, brief, whole, err)
		}
	}
	counting := &failsLater{Body: in, good: 1 << 20}
	if _, _, err := pec.BriefOriginal(counting, false); err != nil {
		t.Fatal(err)
	}
	last := 1<<20 - counting.good // the last reading is for the hash
	brief, _, err := pec.BriefOriginal(&failsLater{Body: in, good: last - 1}, false)
	if brief != nil || !errors.Is(err, errDisk) {
		t.Errorf("fails while hashing: got %v, %v, want the error of reading", brief, err)
	}
}

// failsLater is a body that fails after a number of reads.
type failsLater struct {
	pec.Body
	good int
}

func (b *failsLater) ReadAt(p []byte, at int64) (int, error) {
	if b.good--; b.good < 0 {
		return 0, errDisk
	}
	return b.Body.ReadAt(p, at)
}

func TestBriefMemory(t *testing.T) {
	const head = "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: a/b\r\n\r\n"
	const second = "\r\n--b\r\nContent-Type: a/b; name=c\r\n\r\n1\r\n--b--\r\n"
	in := repeated{head, strings.Repeat("x", 76) + "\r\n", second, 100 << 20}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	brief, whole, err := pec.BriefOriginal(in, false)
	if err != nil || whole != "" {
		t.Fatal(whole, err)
	}
	if _, err := pec.DigestSigned(brief); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > 1<<20 {
		t.Errorf("100 MiB took %d bytes of memory, want less than 1 MiB", got)
	}
}

// TestBriefReadAt: the pieces are one body, wherever it is read.
func TestBriefReadAt(t *testing.T) {
	in := original(mixed + "--b\nContent-Type: a/b; name=c\n\n1\n--b\n\ntext\n--b\nContent-Type: a/b; name=d\n\n2\n--b--\n")
	brief, _, err := pec.BriefOriginal(in, false)
	if err != nil {
		t.Fatal(err)
	}
	all := readBody(t, brief)
	for at := range int64(len(all)) + 2 {
		for _, size := range []int64{1, 7, int64(len(all))} {
			p := make([]byte, size)
			n, err := brief.ReadAt(p, at)
			want := all[min(at, int64(len(all))):min(at+size, int64(len(all)))]
			if string(p[:n]) != want || (err == io.EOF) != (n < len(p)) || err != nil && err != io.EOF {
				t.Fatalf("ReadAt of %d bytes at %d: %q, %v, want %q", size, at, p[:n], err, want)
			}
		}
	}
	if n, err := brief.ReadAt(make([]byte, 1), -1); n != 0 || err == nil || err == io.EOF {
		t.Errorf("ReadAt before the beginning: %d, %v, want an error", n, err)
	}
}
