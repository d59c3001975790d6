package smtpclient

import (
	"context"
	"strings"
	"testing"
)

// travelled undoes what RFC 5321 section 4.5.2 does to a message on its way.
func travelled(wire string) string {
	body := strings.ReplaceAll("\r\n"+strings.TrimSuffix(wire, ".\r\n"), "\r\n..", "\r\n.")
	return strings.TrimPrefix(body, "\r\n")
}

func TestBytesArriveUnchanged(t *testing.T) {
	for _, c := range []struct{ name, message string }{
		{"dots", "A: b\r\n\r\n.\r\n..\r\n...\r\n.a\r\n. \r\n\r\n.\r\n"},
		{"dot in the header", ".A: b\r\n\r\n"},
		{"empty lines at the end", "A: b\r\n\r\nx\r\n\r\n\r\n\r\n"},
		{"white space at the end of lines", "A: b \r\n\t \r\n\r\nx \t\r\n \r\n"},
		{"line of a million", "A: b\r\n\r\n" + strings.Repeat("0123456789", 100_000) + "\r\n"},
		{"line of a million dots", "A: b\r\n\r\n" + strings.Repeat(".", 1_000_000) + "\r\n"},
		{"8 bit", "A: b\r\n\r\nper\u00f2 \xe0\xff\x80\r\n"},
		{"NUL and control characters", "A: b\r\n\r\n\x00\x01\x1a\x7f\r\n\x00\r\n"},
		{"CR alone", "A: b\r\n\r\none\rtwo\r.\rthree\r\n"},
		{"percent signs", "A: %s%d\r\n\r\n%!s\r\n"},
		{"SMTP commands", "A: b\r\n\r\nQUIT\r\nRSET\r\nMAIL FROM:<>\r\n"},
		{"every byte", "A: b\r\n\r\n" + strings.NewReplacer("\r", "", "\n", "").Replace(everyByte()) + "\r\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := arrive(t, c.message); got != c.message {
				t.Errorf("arrived %.200q, want %.200q", got, c.message)
			}
		})
	}
}

// TestBytesThatSMTPCannotCarry pins the exceptions of the package comment.
func TestBytesThatSMTPCannotCarry(t *testing.T) {
	for _, c := range []struct{ name, message, want string }{
		{"LF alone", "A: b\n\nx\n", "A: b\r\n\r\nx\r\n"},
		{"end of data by LF alone", "A: b\r\n\r\nx\n.\nMAIL FROM:<a@b>\r\n", "A: b\r\n\r\nx\r\n.\r\nMAIL FROM:<a@b>\r\n"},
		{"CR CR LF", "A: b\r\n\r\nx\r\r\n.y\r\n", "A: b\r\n\r\nx\r\r\r\n.y\r\n"},
		{"no line end at the end", "A: b\r\n\r\nx", "A: b\r\n\r\nx\r\n"},
		{"CR at the end", "A: b\r\n\r\nx\r", "A: b\r\n\r\nx\r\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := arrive(t, c.message); got != c.want {
				t.Errorf("arrived %q, want %q", got, c.want)
			}
		})
	}
}

func arrive(t *testing.T, message string) string {
	t.Helper()
	server, seen := play(t, true, accepting("LHLO", "250 ok")...)
	if _, err := send(server, text(message)); err != nil {
		t.Fatal(err)
	}
	return travelled(seen().message)
}

func everyByte() string {
	b := make([]byte, 256)
	for i := range b {
		b[i] = byte(i)
	}
	return string(b)
}

// TestCommandInjection is case IN-13: no byte leaves for such an address.
func TestCommandInjection(t *testing.T) {
	for _, address := range []string{
		"a@b\r\nRCPT TO:<c@d>", "a@b\nDATA", "a@b\r", "a@b\x00", "a@b\x7f", "a@b> BODY=X", "<a@b", "a@<b", "a@b c",
		"a@b\t", "a\"b>\"@c", `"a@b`, `"a"b@c`, `"a\"@b`, "\"a\r\nb\"@c", "\"a\\\r\n\"@c", `a\>@b`, "a@b\v",
	} {
		server := &Server{Network: "unix", Address: "/nonexistent"}
		for _, paths := range [][2]string{{address, "x@y"}, {"x@y", address}} {
			_, err := server.Send(context.Background(), paths[0], paths[1], text(""))
			checkError(t, err, StageAddress, nil, "SMTP command")
		}
	}
}

// TestValidPath: FM-38, what has quotes, or needs none, is written as it is.
func TestValidPath(t *testing.T) {
	for _, address := range []string{
		"", "a@b", "postmaster", "a..b@c", `"a b"@c`, `"a>b"@c`, `"a\"b\\"@c`, `""@c`, `"a@b"@c`, "a@[127.0.0.1]",
		"è@città.example", "a+b=c@d", "\xff@d",
	} {
		if !validPath(address) {
			t.Errorf("validPath(%q) = false, want true", address)
		}
	}
}

// FuzzValidPath: FM-38, IN-13, the closing bracket that we write is the first that a reader
// who knows quoted strings finds, and the line is one line.
func FuzzValidPath(f *testing.F) {
	for _, seed := range []string{"", "a@b", `"a>\"b"@c`, "a@b\r\n", `"a"b>`, `"\`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, address string) {
		if !validPath(address) {
			return
		}
		if strings.ContainsAny(address, "\r\n\x00") {
			t.Errorf("validPath(%q) = true, want false: not one line", address)
		}
		if end := closingBracket(address + ">"); end != len(address) {
			t.Errorf("validPath(%q) = true, want false: the path ends at %d", address, end)
		}
	})
}

func closingBracket(s string) int {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '"':
			quoted = !quoted
		case s[i] == '\\' && quoted:
			i++
		case s[i] == '>' && !quoted:
			return i
		}
	}
	return -1
}
