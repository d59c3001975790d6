// Package daemonlog writes the daemon's log: text or JSON, line by line, or entries
// of systemd's journal. It is not the legal log.
//
// A line about a message begins with the MTA's queue id; then come what happened,
// the event, the PEC msgid, the result and the milliseconds, as far as they are
// known, and then all else. What a message says cannot begin a line of its own, nor
// reach the terminal of who reads it (RFC 6109 section 2.3).
package daemonlog

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
)

// Config says how to write.
type Config struct {
	Format string       // one of the formats below; empty: text
	Level  slog.Leveler // what is below it is left out; nil: info
	// Key, if not nil, has each address replaced by a name that is made with it:
	// always the same for one address, and without the key nobody can tell of whom.
	Key []byte
	// Journal is the socket of systemd's journal; empty: where it always is.
	Journal string
}

// The formats.
const (
	Text     = "text"
	JSON     = "json"
	Journald = "journald"
)

// New makes a logger that writes to w. The journal is another place: then w gets only
// what the journal does not take, and it is an error if there is none.
func New(w io.Writer, c Config) (*slog.Logger, error) {
	if c.Level == nil {
		c.Level = slog.LevelInfo
	}
	h := &handler{level: c.Level}
	if c.Key != nil {
		h.hide = hider(c.Key).value
	}
	options := &slog.HandlerOptions{Level: c.Level, ReplaceAttr: withoutEmptyMessage}
	switch c.Format {
	case Text, "":
		h.write = slog.NewTextHandler(w, options).Handle
	case JSON:
		h.write = slog.NewJSONHandler(printable{w}, options).Handle
	case Journald:
		j, err := openJournal(c.Journal, w)
		if err != nil {
			return nil, fmt.Errorf("log.format: %w", err)
		}
		h.write = j.write
	default:
		return nil, fmt.Errorf("log.format: %q is no format", c.Format)
	}
	return slog.New(h), nil
}

// handler puts the attributes of each line into their order.
type handler struct {
	level slog.Leveler
	write func(context.Context, slog.Record) error
	hide  func(slog.Attr) slog.Attr // nil: addresses are written out
	attrs []slog.Attr               // of With
	group string                    // what the names of further ones begin with
}

// Enabled is slog.Handler's.
func (h *handler) Enabled(_ context.Context, l slog.Level) bool { return l >= h.level.Level() }

// WithAttrs is slog.Handler's.
func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	next := *h
	next.attrs = slices.Clone(h.attrs)
	for _, a := range attrs {
		next.attrs = append(next.attrs, h.named(a))
	}
	return &next
}

// WithGroup is slog.Handler's.
func (h *handler) WithGroup(name string) slog.Handler {
	next := *h
	next.group += name + "."
	return &next
}

func (h *handler) named(a slog.Attr) slog.Attr {
	return slog.Attr{Key: h.group + a.Key, Value: a.Value.Resolve()}
}

const queueID = "queue_id"

// leading is the order in which a line about a message begins.
var leading = []string{queueID, slog.MessageKey, "event", "id", "result", "ms"}

func place(a slog.Attr) int {
	if n := slices.Index(leading, a.Key); n >= 0 {
		return n
	}
	return len(leading)
}

// Handle is slog.Handler's.
func (h *handler) Handle(ctx context.Context, r slog.Record) error {
	attrs := slices.Clone(h.attrs)
	r.Attrs(func(a slog.Attr) bool {
		attrs = append(attrs, h.named(a))
		return true
	})
	message := slog.String(slog.MessageKey, r.Message)
	if h.hide != nil {
		message = h.hide(message)
		for n := range attrs {
			attrs[n] = h.hide(attrs[n])
		}
	}
	line := slog.NewRecord(r.Time, r.Level, message.Value.String(), r.PC)
	if slices.ContainsFunc(attrs, func(a slog.Attr) bool { return a.Key == queueID }) {
		line.Message = "" // stands behind the queue id
		attrs = append(attrs, message)
		slices.SortStableFunc(attrs, func(a, b slog.Attr) int { return place(a) - place(b) })
	}
	line.AddAttrs(attrs...)
	return h.write(ctx, line)
}

// withoutEmptyMessage leaves out the message where it stands behind the queue id.
func withoutEmptyMessage(_ []string, a slog.Attr) slog.Attr {
	if a.Key == slog.MessageKey && a.Value.String() == "" {
		return slog.Attr{}
	}
	return a
}
