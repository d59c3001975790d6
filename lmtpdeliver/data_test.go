package lmtpdeliver

import (
	"bufio"
	"bytes"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"
)

// TestDataAnyPieces: however the bytes come and are asked for, the message is what a
// reader of whole lines makes of them, and what stands behind its end stays.
func TestDataAnyPieces(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 50_000 {
		sent := make([]byte, random.IntN(24))
		for i := range sent {
			sent[i] = "\r\n.a"[random.IntN(4)]
		}
		want, rest, whole := wholeLines(string(sent))
		in := bufio.NewReaderSize(pieces{bytes.NewReader(sent), random}, 16)
		got, err := io.ReadAll(asked{newData(in), random})
		if whole != (err == nil) || whole && string(got) != want || !strings.HasPrefix(want, string(got)) {
			t.Fatalf("%q: read %q, %v, want %q, whole: %v", sent, got, err, want, whole)
		}
		if left, _ := io.ReadAll(in); whole && string(left) != rest {
			t.Fatalf("%q: left %q, want %q", sent, left, rest)
		}
	}
}

// wholeLines is the message, and what stands behind it if it is whole.
func wholeLines(sent string) (message, rest string, whole bool) {
	for sent != "" {
		line, rest, ends := strings.Cut(sent, "\r\n")
		if ends {
			line += "\r\n"
		}
		if line == endOfData {
			return message, rest, true
		}
		message += strings.TrimPrefix(line, ".")
		sent = rest
	}
	return message, "", false
}

// pieces gives what a network might: some bytes at a time.
type pieces struct {
	io.Reader
	random *rand.Rand
}

func (r pieces) Read(p []byte) (int, error) {
	return r.Reader.Read(p[:min(len(p), 1+r.random.IntN(8))])
}

// asked asks for some bytes at a time.
type asked pieces

func (r asked) Read(p []byte) (int, error) {
	return r.Reader.Read(p[:min(len(p), 1+r.random.IntN(8))])
}

// TestDataDoesNotWait: what has come is given before the rest comes.
func TestDataDoesNotWait(t *testing.T) {
	for _, come := range []string{"a", "a\r", "a\r\n", "a\r\n.", "a\r\n.\r", "a\r\n..", "a\r\nb"} {
		broken := io.MultiReader(strings.NewReader(come), iotest.ErrReader(io.ErrClosedPipe))
		got := make([]byte, 100)
		n, err := newData(bufio.NewReader(broken)).Read(got)
		if n == 0 || err != nil {
			t.Errorf("%q: read %q, %v, want its first line", come, got[:n], err)
		}
	}
}
