package lmtpdeliver

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/pec-milter/pec-milter/internal/point"
)

func TestBytesArriveUnchanged(t *testing.T) {
	for _, c := range []struct{ name, header, body string }{
		{"dots", "A: b\r\n", ".\r\n..\r\n...\r\n.a\r\n. \r\n\r\n.\r\n"},
		{"dot lines only", "A: b\r\n", strings.Repeat(".\r\n", 50_000)},
		{"empty lines at the end", "A: b\r\n", "x\r\n\r\n\r\n\r\n"},
		{"empty body", "A: b\r\n", ""},
		{"empty line for a body", "A: b\r\n", "\r\n"},
		{"white space everywhere", "A: b \r\n\t \r\n x\r\n", " \r\n\tx \t\r\n"},
		{"header as it is", "a:b\r\nX-Y:\r\nA:\tb  c\r\n", "x\r\n"},
		{"8 bit in the header", "A: per\u00f2 \xe0\xff\r\n", "x\r\n"},
		{"line of a million", "A: b\r\n", strings.Repeat("0123456789", 100_000) + "\r\n"},
		{"header line of a million", "A: " + strings.Repeat("0123456789", 100_000) + "\r\n", "x\r\n"},
		{"8 bit", "A: b\r\n", "per\u00f2 \xe0\xff\x80\r\n"},
		{"NUL and control characters", "A: b\r\n", "\x00\x01\x1a\x7f\r\n\x00\r\n"},
		{"CR alone", "A: b\r\n", "one\rtwo\r.\rthree\r\n"},
		{"LF alone", "A: b\r\n", "one\ntwo\n.\nthree\n\r\n"},
		{"SMTP commands", "A: b\r\n", "QUIT\r\nRSET\r\nMAIL FROM:<>\r\n"},
		{"over the memory of the spool", "A: b\r\n", strings.Repeat(".line of a long message\r\n", 100_000)},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, seen := keep(t)
			start(t, d).dial(t).deliver(c.header+"\r\n"+c.body, "a@b")
			got := seen()[0]
			if got.header != c.header || got.body != c.body {
				t.Errorf("arrived %.200q, %.200q, want %.200q, %.200q", got.header, got.body, c.header, c.body)
			}
			if want := sha256.Sum256([]byte(c.body)); got.BodyDigest != want {
				t.Errorf("digest %x, want %x", got.BodyDigest, want)
			}
		})
	}
}

// TestCRCRLF: CR CR LF ends a line too, which go-smtp's own reader does not see: a
// message whose last line ends so would never end. Postfix takes the second CR away and
// Sendmail refuses it; another MTA may not.
func TestCRCRLF(t *testing.T) {
	d, seen := keep(t)
	m := start(t, d).dial(t)
	for n, body := range []string{"x\r\r\n.y\r\n", "x\r\r\n"} {
		m.deliver("A: b\r\n\r\n"+body, "a@b")
		if got := seen()[n].body; got != body {
			t.Errorf("body = %q, want %q", got, body)
		}
	}
}

// TestConstantMemory: 50 MB come in and go out again.
func TestConstantMemory(t *testing.T) {
	var peak uint64
	measure := func() {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		peak = max(peak, m.HeapAlloc)
	}
	server := start(t, door{deliver: func(_ context.Context, tr *point.Transaction) []error {
		measure()
		_, err := tr.Message.WriteTo(writerFunc(func(p []byte) (int, error) { measure(); return len(p), nil }))
		if tr.Message.Body.Size() != 50_000_000 {
			err = fmt.Errorf("body of %d bytes, want 50 MB", tr.Message.Body.Size())
		}
		return []error{err}
	}}, func(c *Config) { c.Timeout = 5 * time.Minute })
	m := server.dial(t)
	m.SetDeadline(time.Now().Add(5 * time.Minute))
	m.envelope("a@b")
	io.WriteString(m, "A: b\r\n\r\n")
	chunk := []byte(strings.Repeat(strings.Repeat("x", 98)+"\r\n", 5000))
	for range 100 {
		m.Write(chunk)
		measure()
	}
	io.WriteString(m, ".\r\n")
	if got := m.reply(); got != "250 2.1.5 <a@b> done" {
		t.Errorf("reply = %q (log %q), want 250", got, server.log)
	}
	if peak > 24<<20 {
		t.Errorf("heap was up to %d bytes for a message of 50 MB, want under 24 MiB", peak)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
