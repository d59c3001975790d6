package daemonlog

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"unicode"
)

// journalSocket is where systemd-journald listens. Its protocol is that of
// https://systemd.io/JOURNAL_NATIVE_PROTOCOL/: one datagram for each entry.
const journalSocket = "/run/systemd/journal/socket"

// maxMessage bounds the text of an entry, in bytes: a datagram of a unix socket has
// its limits, and the longest are stacks of a panic.
const maxMessage = 64 << 10

// fields are the attributes that get a field of the journal of their own; the text
// has all of them.
var fields = map[string]string{queueID: "QUEUE_ID", "event": "EVENT", "id": "PEC_ID", "result": "RESULT", "ms": "MILLISECONDS"}

// journal writes entries of systemd's journal.
type journal struct {
	conn net.Conn
	rest io.Writer // gets what the journal does not take
}

func openJournal(path string, rest io.Writer) (*journal, error) {
	conn, err := net.Dial("unixgram", cmp.Or(path, journalSocket))
	if err != nil {
		return nil, fmt.Errorf("journald: %w: is there a systemd here? Write text or json where there is none", err)
	}
	return &journal{conn, rest}, nil
}

// write writes one entry: the text is that of a line of the log without time and
// level, which the journal has itself.
func (j *journal) write(ctx context.Context, r slog.Record) error {
	var text bytes.Buffer
	line := slog.NewTextHandler(&text, &slog.HandlerOptions{Level: r.Level, ReplaceAttr: withoutTimeAndLevel})
	if err := line.Handle(ctx, r); err != nil {
		return err
	}
	message := strings.TrimSuffix(text.String(), "\n")
	var entry bytes.Buffer
	field(&entry, "MESSAGE", message[:min(len(message), maxMessage)])
	field(&entry, "PRIORITY", priority(r.Level))
	field(&entry, "SYSLOG_IDENTIFIER", "pec-milter")
	r.Attrs(func(a slog.Attr) bool {
		if name := fields[a.Key]; name != "" {
			field(&entry, name, oneLine(a.Value.String()))
		}
		return true
	})
	if _, err := j.conn.Write(entry.Bytes()); err != nil { // journald may be down for a moment
		_, err = fmt.Fprintf(j.rest, "%s\n", message)
		return err
	}
	return nil
}

func withoutTimeAndLevel(groups []string, a slog.Attr) slog.Attr {
	if a.Key == slog.TimeKey || a.Key == slog.LevelKey {
		return slog.Attr{}
	}
	return withoutEmptyMessage(groups, a)
}

// field writes a field in the form that takes any value.
func field(to *bytes.Buffer, name, value string) {
	to.WriteString(name + "\n")
	to.Write(binary.LittleEndian.AppendUint64(nil, uint64(len(value))))
	to.WriteString(value + "\n")
}

// oneLine: the msgid of a field is the choice of another provider.
func oneLine(value string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return unicode.ReplacementChar
		}
		return r
	}, value)
}

// priority is a level as syslog numbers it.
func priority(l slog.Level) string {
	switch {
	case l >= slog.LevelError:
		return "3"
	case l >= slog.LevelWarn:
		return "4"
	case l >= slog.LevelInfo:
		return "6"
	}
	return "7"
}
