package doctor

import (
	"context"
	"errors"
	"io"
	"net"
	"path/filepath"
	"testing"
)

type prober struct{ err error }

func (p prober) Probe(context.Context, string, ...string) error { return p.err }

func TestServers(t *testing.T) {
	ctx, up, down := t.Context(), prober{}, prober{errors.New("RCPT: 550 no such user")}
	want(t, Mailboxes(ctx, up, address, "a@alfa.example"), Good, "a@alfa.example")
	want(t, Mailboxes(ctx, down, address, "a@alfa.example"), Bad, "no such user")
	want(t, Inject(ctx, up, address, "a@alfa.example"), Good, address)
	want(t, Inject(ctx, down, address, "a@alfa.example"), Bad, "no notice leaves")
	want(t, DeliveryDoor(ctx, up), Good, "answers")
	want(t, DeliveryDoor(ctx, down), Bad, "waits in the queue")
}

func TestMilterDoorThatIsNone(t *testing.T) {
	for name, c := range map[string]struct{ answer, text string }{
		"hangs up":        {"", "reading its offer"},
		"something else":  {"220 mx.example ESMTP here I am", "no milter"},
		"another version": {"\x00\x00\x00\x0dO\x00\x00\x00\x07aaaabbbb", "no milter"},
		"milter":          {"\x00\x00\x00\x0dO\x00\x00\x00\x06aaaabbbb", ""},
	} {
		t.Run(name, func(t *testing.T) {
			got := MilterDoor(t.Context(), "access", answering(t, c.answer))
			if c.text == "" {
				want(t, got, Good, "answers")
				return
			}
			want(t, got, Bad, c.text)
		})
	}
	want(t, MilterDoor(t.Context(), "access", Socket{"unix", filepath.Join(t.TempDir(), "none")}), Bad, "451")
}

// answering listens, reads an offer and answers.
func answering(t *testing.T, answer string) Socket {
	t.Helper()
	path := filepath.Join(t.TempDir(), "socket")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		if _, err := io.ReadFull(conn, make([]byte, 17)); err == nil {
			io.WriteString(conn, answer)
		}
	}()
	return Socket{"unix", path}
}
