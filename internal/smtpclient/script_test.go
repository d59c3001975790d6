package smtpclient

import (
	"bufio"
	"context"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// script plays a server. Each line of it is done in turn:
//
//	"220 hello"  is sent, with CRLF
//	"<RCPT"      reads a line that must begin with RCPT
//	"<message"   reads up to the final dot
//	"hang"       reads until the client has gone
//	"deaf"       reads nothing more, until the test ends
//
// At its end the connection is closed. It tells what it read.
type script struct {
	commands []string
	message  string // as it travelled, with the final dot
	wrong    string // a line that was not the expected one
}

const untilDot = "\r\n.\r\n"

// play listens on a unix socket, serves one connection, and gives the server
// to call and a function that waits for what was read.
func play(t *testing.T, lmtp bool, steps ...string) (*Server, func() script) {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "socket")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	done := make(chan script, 1)
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		done <- serve(t.Context(), conn, steps)
	}()
	server := &Server{Network: "unix", Address: socket, LMTP: lmtp, Name: "client.example", Timeout: 20 * time.Second}
	return server, func() script { return <-done }
}

func serve(ctx context.Context, conn net.Conn, steps []string) (seen script) {
	in := bufio.NewReader(conn)
	for _, step := range steps {
		switch {
		case step == "hang":
			io.Copy(io.Discard, in)
		case step == "deaf":
			<-ctx.Done()
		case step == "<message":
			seen.message = readMessage(in)
		case strings.HasPrefix(step, "<"):
			line, _ := in.ReadString('\n')
			seen.commands = append(seen.commands, strings.TrimSuffix(line, "\r\n"))
			if !strings.HasPrefix(line, step[1:]) {
				seen.wrong = line
				return seen
			}
		default:
			io.WriteString(conn, step+"\r\n")
		}
	}
	return seen
}

// readMessage reads byte by byte: a judge that shares no code with what it
// judges.
func readMessage(in *bufio.Reader) string {
	text := []byte("\r\n") // an empty message is a dot alone
	for !strings.HasSuffix(string(text[max(0, len(text)-5):]), untilDot) {
		b, err := in.ReadByte()
		if err != nil {
			return string(text[2:])
		}
		text = append(text, b)
	}
	return string(text[2:])
}

// accepting is a server that takes everything.
func accepting(hello, reply string) []string {
	return []string{"220 hi", "<" + hello, "250-me", "250-SIZE", "250 8BITMIME", "<MAIL", "250 ok",
		"<RCPT", "250 ok", "<DATA", "354 go", "<message", reply, "<QUIT", "221 bye"}
}

// text is a message.
type text string

func (m text) WriteTo(w io.Writer) (int64, error) {
	n, err := io.WriteString(w, string(m))
	return int64(n), err
}

func send(server *Server, message io.WriterTo) (string, error) {
	return server.Send(context.Background(), "me@alfa.example", "you@beta.example", message)
}
