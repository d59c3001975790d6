package point_test

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/printer"
	"go/token"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pec-milter/pec-milter/pec"
)

// told is a message with what nobody but its receiver may read: OP-05.
func told(from, to, receipt string) []byte {
	return []byte("From: <" + from + ">\r\nTo: " + to + "\r\nSubject: Oggettoriservato\r\nDate: Sat, 14 Mar 2026 10:26:49 +0100\r\n" +
		"Message-ID: <m1@client.example>\r\n" + receipt + "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n" +
		"--b\r\nContent-Type: text/plain\r\n\r\nCorporiservato.\r\n--b\r\nContent-Type: application/pdf; name=\"Nomeriservato.pdf\"\r\n" +
		"Content-Disposition: attachment; filename=\"Nomeriservato.pdf\"\r\n\r\nAllegatoriservato\r\n--b--\r\n")
}

// TestLogHasNoContent: OP-05, neither the text of a message nor its subject nor the
// names of its attachments are in the daemon's log, whatever becomes of it.
func TestLogHasNoContent(t *testing.T) {
	w := newWorld(t)
	var out bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
	w.alfa.provider.Logger, w.beta.provider.Logger = logger, logger
	brief := pec.HeaderReceiptType + ": " + string(pec.Brief) + "\r\n"
	submit := func(m *mail) {
		t.Helper()
		check(t, w.alfa.submit(m))
		w.run()
	}
	submit(&mail{mario, []string{anna}, told(mario, anna, "")})
	submit(&mail{mario, []string{anna, luca}, told(mario, anna+", "+luca, brief)})
	submit(&mail{mario, []string{anna}, told(mario, carla, "")}) // refused: anna is in neither To nor Cc
	_ = w.beta.receive(&mail{luca, []string{anna}, told(luca, anna, "")})
	w.alfa.viruses = []string{"Corporiservato"} // the word is the virus's name here, and that is told
	submit(&mail{mario, []string{anna}, told(mario, anna, "X-Other: 1\r\n")})
	if log := out.String(); strings.Count(log, "\n") < 15 || !strings.Contains(log, "refused") || !strings.Contains(log, "notice issued") {
		t.Errorf("the log tells too little to say anything:\n%s", log)
	}
	for line := range strings.Lines(out.String()) {
		for _, secret := range []string{"ggettoriservato", "omeriservato", "llegatoriservato"} {
			if strings.Contains(line, secret) {
				t.Errorf("the log has %q: %s", secret, line)
			}
		}
		if strings.Contains(line, "orporiservato") && !strings.Contains(line, "irus") {
			t.Errorf("the log has the text of the message: %s", line)
		}
	}
}

// withoutQueueID are the lines of this package that are about no message, or for
// which nobody knows its queue id yet.
var withoutQueueID = []string{
	"the earlier key does not sign: a message may go out twice, with another signature",
	"forged outbox recipient refused: the MTA must not take this domain from anybody", // at RCPT
}

// TestLinesAboutMessages: every line about a message has the MTA's queue id, by which
// an operator finds it.
func TestLinesAboutMessages(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	lines := 0
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		set := token.NewFileSet()
		tree, err := parser.ParseFile(set, file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(tree, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			var text bytes.Buffer
			if err := printer.Fprint(&text, set, call); err != nil {
				t.Fatal(err)
			}
			if method, _, _ := strings.Cut(text.String(), "("); !strings.Contains(method, ".Logger.") {
				return true
			}
			lines++
			if !strings.Contains(text.String(), `"queue_id", `) && !containsAny(text.String(), withoutQueueID) {
				t.Errorf("%s: no queue_id in %s", set.Position(call.Pos()), &text)
			}
			return true
		})
	}
	if lines < 20 {
		t.Errorf("%d lines found, want all", lines)
	}
}

func containsAny(text string, parts []string) bool {
	for _, part := range parts {
		if strings.Contains(text, part) {
			return true
		}
	}
	return false
}
