package pec

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
)

// DigestSigned is the SHA-256 of a signed content in its canonical form: line
// ends are CRLF (RFC 8551 section 3.1.1), whatever they have become on the way.
// A CR that ends no line stays as it is.
func DigestSigned(content Body) ([32]byte, error) {
	hash := sha256.New()
	if err := writeCanonical(hash, content); err != nil {
		return [32]byte{}, err
	}
	return [32]byte(hash.Sum(nil)), nil
}

// writeCanonical writes a content with CRLF line ends.
func writeCanonical(w io.Writer, content Body) error {
	lines := &canonicalWriter{w: w}
	if _, err := copyBody(lines, content); err != nil {
		return fmt.Errorf("reading signed content: %w", err)
	}
	return nil
}

// canonicalWriter writes each lone LF as CRLF.
type canonicalWriter struct {
	w       io.Writer
	afterCR bool // the last byte written was CR
}

var carriageReturn = []byte{'\r'}

func (c *canonicalWriter) Write(p []byte) (int, error) {
	done := 0
	for at := 0; ; at++ {
		next := bytes.IndexByte(p[at:], '\n')
		if next < 0 {
			break
		}
		if at += next; at > 0 && p[at-1] == '\r' || at == 0 && c.afterCR {
			continue
		}
		for _, piece := range [][]byte{p[done:at], carriageReturn} {
			if _, err := c.w.Write(piece); err != nil {
				return done, err
			}
		}
		done = at
	}
	c.afterCR = len(p) > 0 && p[len(p)-1] == '\r' || len(p) == 0 && c.afterCR
	n, err := c.w.Write(p[done:])
	return done + n, err
}
