//go:build integration

package integration

import (
	"bytes"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// large submits a message of that many megabytes (10^6 bytes), which is never in
// memory, here either.
func (s *stage) large(_ *bytes.Buffer, _ *testscript.TestScript, args []string) error {
	megabytes, err := strconv.ParseInt(args[0], 10, 64)
	if err != nil {
		return err
	}
	p, err := s.providerOf(args[1])
	if err != nil {
		return err
	}
	header := strings.ReplaceAll(fmt.Sprintf("From: %s\nTo: %s\nSubject: large\nMessage-ID: <large.%s>\nMIME-Version: 1.0\n"+
		"Content-Type: application/octet-stream\nContent-Transfer-Encoding: base64\n\n", args[1], args[2], args[1]), "\n", "\r\n")
	body := io.LimitReader(&repeated{line: strings.Repeat("QUJD", 19) + "\r\n"}, megabytes*1e6)
	return p.Submit(Mail{User: args[1], From: args[1], To: []string{args[2]},
		Message: io.MultiReader(strings.NewReader(header), body, strings.NewReader("\r\n"))})
}

// repeated is the same line without end.
type repeated struct {
	line string
	at   int
}

func (r *repeated) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		copied := copy(p[n:], r.line[r.at:])
		n += copied
		r.at = (r.at + copied) % len(r.line)
	}
	return n, nil
}
