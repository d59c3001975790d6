package inject

import (
	"context"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// whole is a message that can be written again, as all are that are injected.
type whole struct{ text string }

func (m whole) WriteTo(w io.Writer) (int64, error) {
	n, err := io.WriteString(w, m.text)
	return int64(n), err
}

// An MTA that ends the connection before it has the message (Postfix: 421 to one
// that was idle, or when it is restarted) gets it over a fresh one, once.
func TestFreshConnection(t *testing.T) {
	for _, c := range []struct {
		name    string
		replies []string // of the first connection; then it is closed
		second  []string // of those after it
		want    int32    // connections
		err     string
	}{
		{"421 as greeting", []string{"421 4.3.2 not now"}, takes, 2, ""},
		{"closed at once", nil, takes, 2, ""},
		{"421 at MAIL", []string{"220 x", "250 ok", "421 4.4.2 timeout"}, takes, 2, ""},
		{"closed after EHLO", []string{"220 x", "250 ok"}, takes, 2, ""},
		{"closed after DATA", []string{"220 x", "250 ok", "250 ok", "250 ok"}, takes, 2, ""},
		{"421 to the message", []string{"220 x", "250 ok", "250 ok", "250 ok", "354 go", "421 4.3.0 going"}, takes, 2, ""},
		{"never better", []string{"421 4.3.2 not now"}, []string{"421 4.3.2 not now"}, 2, "greeting"},
		{"refused", []string{"220 x", "250 ok", "451 4.3.0 queue is full"}, takes, 1, "queue is full"},
		{"reply lost", []string{"220 x", "250 ok", "250 ok", "250 ok", "354 go"}, takes, 1, "reply to the message"},
	} {
		t.Run(c.name, func(t *testing.T) {
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { listener.Close() })
			var connections atomic.Int32
			go func() {
				for replies := c.replies; ; replies = c.second {
					conn, err := listener.Accept()
					if err != nil {
						return
					}
					connections.Add(1)
					answer(conn, replies)
				}
			}()
			injector := New(listener.Addr().String(), "x", 20*time.Second)
			err = injector.Inject(context.Background(), "s@a", "u@b", whole{notice})
			if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Errorf("Inject() = %v, want %q", err, c.err)
			}
			if got := connections.Load(); got != c.want {
				t.Errorf("%d connections, want %d", got, c.want)
			}
		})
	}
}

// takes are the replies of an MTA that takes one message.
var takes = []string{"220 x", "250 ok", "250 ok", "250 ok", "354 go", "250 queued", "221 bye"}

// answer gives each reply when its command, or the message, is there.
func answer(conn net.Conn, replies []string) {
	defer conn.Close()
	for n, reply := range replies {
		end := "\r\n"
		if n > 0 && strings.HasPrefix(replies[n-1], "354") {
			end = "\r\n.\r\n"
		}
		if n > 0 && !readTo(conn, end) {
			return
		}
		io.WriteString(conn, reply+"\r\n")
	}
	if n := len(replies); n > 0 && strings.HasPrefix(replies[n-1], "354") {
		readTo(conn, "\r\n.\r\n")
	}
}

func readTo(conn net.Conn, end string) bool {
	var seen string
	for buffer := make([]byte, 4096); !strings.HasSuffix(seen, end); {
		n, err := conn.Read(buffer)
		if err != nil {
			return false
		}
		seen += string(buffer[:n])
	}
	return true
}
