package daemonlog

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"
)

func logger(t *testing.T, c Config) (*slog.Logger, *bytes.Buffer) {
	t.Helper()
	var out bytes.Buffer
	l, err := New(&out, c)
	if err != nil {
		t.Fatal(err)
	}
	return l, &out
}

// TestOrder: a line about a message begins with the queue id, then comes what is
// known of event, id, result and milliseconds, whatever order the code gives them in.
func TestOrder(t *testing.T) {
	l, out := logger(t, Config{Level: slog.LevelDebug})
	l = l.With("event", "delivery")
	for _, c := range []struct {
		log  func()
		want string
	}{
		{func() { l.Info("done", "recipient", "a@b", "ms", 12, "id", "x@y", "result", 250, "queue_id", "4fX") },
			`level=INFO queue_id=4fX msg=done event=delivery id=x@y result=250 ms=12 recipient=a@b`},
		{func() { l.With("queue_id", "").Error("temporary failure", "error", errors.New("no token")) },
			`level=ERROR queue_id="" msg="temporary failure" event=delivery error="no token"`},
		{func() { l.Debug("door open", "socket", "unix:/x", "id", "y") }, `level=DEBUG msg="door open" event=delivery socket=unix:/x id=y`},
		{func() { l.WithGroup("g").Info("x", "queue_id", "no") }, `level=INFO msg=x event=delivery g.queue_id=no`},
	} {
		out.Reset()
		c.log()
		if _, got, _ := strings.Cut(strings.TrimSpace(out.String()), " "); got != c.want {
			t.Errorf("line = %s\nwant   %s", got, c.want)
		}
	}
}

// evil is what a message can say.
const evil = "a\r\ntime=2026-01-01 level=ERROR msg=forged \x1b[31m\u009b31m\u202e\x7f\u2028\U000e0001@x.example"

// TestOneLine: IN-11, whatever a message says stays on its line, and reaches no terminal.
func TestOneLine(t *testing.T) {
	for _, format := range []string{Text, JSON} {
		l, out := logger(t, Config{Format: format})
		l.Info("refused", "queue_id", evil, "id", evil, "reasons", []string{evil}, "error", errors.New(evil))
		line, found := strings.CutSuffix(out.String(), "\n")
		if odd := strings.IndexFunc(line, func(r rune) bool { return !unicode.IsPrint(r) }); !found || odd >= 0 {
			t.Errorf("%s: %q, want one line without control characters (at %d)", format, out, odd)
		}
		if format != JSON {
			continue
		}
		var read map[string]any
		if err := json.Unmarshal(out.Bytes(), &read); err != nil || read["id"] != evil {
			t.Errorf("JSON %s: %v, want the text itself to be read from it", out, err)
		}
	}
}

// TestHashedAddresses: no address is left, one address has always the same name, and
// identifiers stay (OP-05).
func TestHashedAddresses(t *testing.T) {
	for _, format := range []string{Text, JSON} {
		l, out := logger(t, Config{Format: format, Key: []byte("0123456789abcdef0123456789abcdef")})
		l.Warn("for Anna.Rossi@Alfa.example", "queue_id", "4fX", "id", "opec1@alfa.example", "sender", "anna.rossi@alfa.example",
			"recipients", []string{"b@x.example", `"o d"@x.example`}, "error", errors.New("550 <anna.rossi@alfa.example>: no"), "ms", 3)
		text := strings.ToLower(out.String())
		for _, address := range []string{"anna", "rossi", "b@x", "o d", "x.example"} {
			if strings.Contains(text, address) {
				t.Errorf("%s: %s has %q", format, text, address)
			}
		}
		if !strings.Contains(text, "opec1@alfa.example") || !strings.Contains(text, "no") {
			t.Errorf("%s: %s has lost the identifier, or the text around an address", format, text)
		}
		_, name, _ := strings.Cut(text, "address-")
		if name = "address-" + name[:16]; strings.Count(text, name) != 3 || strings.Count(text, "address-") != 5 {
			t.Errorf("%s: %s: want the same name for one address three times, and two others", format, text)
		}
		other, otherOut := logger(t, Config{Key: []byte("another key")})
		other.Info("x", "sender", "anna.rossi@alfa.example")
		if strings.Contains(otherOut.String(), name) {
			t.Error("another key gives the same name")
		}
	}
}

// TestJournal: IN-11, an entry has the fields of its own, and what is not theirs in the text.
func TestJournal(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	if _, err := New(nil, Config{Format: Journald, Journal: path}); err == nil || !strings.Contains(err.Error(), "log.format: journald") {
		t.Fatalf("New without a journal: %v, want an error that names the setting", err)
	}
	journal, err := net.ListenPacket("unixgram", path)
	if err != nil {
		t.Fatal(err)
	}
	defer journal.Close()
	l, rest := logger(t, Config{Format: Journald, Journal: path})
	l.Error("temporary failure", "error", "no\nway", "queue_id", "4fX", "id", evil, "event", "delivery", "result", 451, "ms", 7)
	entry := make([]byte, 1<<20)
	if err := journal.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	n, _, err := journal.ReadFrom(entry)
	if err != nil {
		t.Fatal(err)
	}
	got := readEntry(t, entry[:n])
	for name, want := range map[string]string{
		"PRIORITY": "3", "SYSLOG_IDENTIFIER": "pec-milter", "QUEUE_ID": "4fX", "EVENT": "delivery", "RESULT": "451", "MILLISECONDS": "7",
		"PEC_ID": oneLine(evil),
	} {
		if got[name] != want {
			t.Errorf("%s = %q, want %q", name, got[name], want)
		}
	}
	if text := got["MESSAGE"]; !strings.HasPrefix(text, `queue_id=4fX msg="temporary failure" event=delivery id="a\r\n`) || !strings.HasSuffix(text, ` result=451 ms=7 error="no\nway"`) {
		t.Errorf("MESSAGE = %q", text)
	}
	if strings.ContainsAny(got["PEC_ID"], "\r\n\x1b") {
		t.Errorf("PEC_ID = %q has control characters", got["PEC_ID"])
	}
	journal.Close()
	l.Info("door open")
	if rest.String() != "msg=\"door open\"\n" {
		t.Errorf("without a journal: %q goes to the other place, want the line", rest)
	}
}

// readEntry reads the fields of a datagram.
func readEntry(t *testing.T, entry []byte) map[string]string {
	t.Helper()
	fields := map[string]string{}
	for len(entry) > 0 {
		name, rest, _ := bytes.Cut(entry, []byte("\n"))
		size := binary.LittleEndian.Uint64(rest)
		fields[string(name)] = string(rest[8 : 8+size])
		if rest[8+size] != '\n' {
			t.Fatalf("field %s does not end with a new line", name)
		}
		entry = rest[8+size+1:]
	}
	return fields
}
