package antivirus

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"path/filepath"
	"testing"
	"time"
)

// fake listens like clamd and serves each connection by a script.
func fake(t *testing.T, network string, script func(conn net.Conn, in *bufio.Reader)) *Clamd {
	t.Helper()
	address := "127.0.0.1:0"
	if network == "unix" {
		address = filepath.Join(t.TempDir(), "socket")
	}
	listener, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				script(conn, bufio.NewReader(conn))
			}()
		}
	}()
	return &Clamd{Network: network, Address: listener.Addr().String(), Timeout: 30 * time.Second}
}

// answering is a clamd that takes a whole message and replies.
func answering(reply string) func(net.Conn, *bufio.Reader) {
	return func(conn net.Conn, in *bufio.Reader) {
		readCommand(in)
		readStream(in)
		io.WriteString(conn, reply)
	}
}

func readCommand(in *bufio.Reader) string {
	command, _ := in.ReadString(0)
	return command
}

// readStream reads what INSTREAM carries; whole tells whether its end came.
func readStream(in *bufio.Reader) (message []byte, whole bool) {
	var kept bytes.Buffer
	whole = copyStream(&kept, in)
	return kept.Bytes(), whole
}

func copyStream(w io.Writer, in *bufio.Reader) (whole bool) {
	length := make([]byte, 4)
	for {
		if _, err := io.ReadFull(in, length); err != nil {
			return false
		}
		size := int64(binary.BigEndian.Uint32(length))
		if size == 0 {
			return true
		}
		if _, err := io.CopyN(w, in, size); err != nil {
			return false
		}
	}
}

// text is a message.
type text string

func (m text) WriteTo(w io.Writer) (int64, error) {
	n, err := io.WriteString(w, string(m))
	return int64(n), err
}

// pieces is a message written in several pieces.
type pieces []string

func (m pieces) WriteTo(w io.Writer) (total int64, err error) {
	for _, piece := range m {
		n, err := io.WriteString(w, piece)
		total += int64(n)
		if err != nil {
			return total, err
		}
	}
	return total, nil
}

// zeros is a message of that many bytes, which needs no memory.
type zeros int64

func (m zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func (m zeros) WriteTo(w io.Writer) (int64, error) { return io.CopyN(w, m, int64(m)) }

// failing is a message that cannot be read to its end.
type failing struct{ err error }

func (m failing) WriteTo(w io.Writer) (int64, error) {
	n, err := w.Write(make([]byte, 3*chunkSize))
	if err != nil {
		return int64(n), err
	}
	return int64(n), m.err
}
