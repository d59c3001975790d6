package milter

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

// frame is one frame of the protocol.
func frame(command byte, data string) []byte {
	f := binary.BigEndian.AppendUint32(nil, uint32(len(data)+1))
	return append(append(f, command), data...)
}

// hello is what an MTA says first: version 6, everything offered.
var hello = frame('O', "\x00\x00\x00\x06\x00\x00\x01\xff\x00\x1f\xff\xff")

// (RS-09, RS-10)
func TestBadFrames(t *testing.T) {
	tests := []struct {
		name    string
		frame   []byte
		wantLog string
	}{
		{"length 0", []byte{0, 0, 0, 0}, "length is 0"},
		{"length 512 MiB", []byte{0x20, 0, 0, 0, 'B'}, "length is 536870912"},
		{"length 4 GiB", []byte{0xff, 0xff, 0xff, 0xff, 'B'}, "length is 4294967295"},
		{"length 1 MiB and 1", []byte{0, 0x10, 0, 1, 'B'}, "length is 1048577"},
		{"unknown letter", frame('z', "a\x00"), "unknown command 'z'"},
		{"NUL as letter", frame(0, ""), "unknown command '\\\\x00'"},
		{"CONN without NUL", frame('C', "host"), "command 'C' has malformed data of 4 bytes"},
		{"CONN without family", frame('C', "host\x00"), "command 'C'"},
		{"CONN empty", frame('C', ""), "command 'C'"},
		{"HELO without NUL", frame('H', "host"), "command 'H'"},
		{"MAIL without NUL", frame('M', "<a@b>"), "command 'M'"},
		{"MAIL empty", frame('M', ""), "command 'M'"},
		{"RCPT without NUL", frame('R', "<a@b>"), "command 'R'"},
		{"RCPT with an open string", frame('R', "<a@b>\x00NOTIFY=NEVER"), "command 'R'"},
		{"header with one NUL", frame('L', "Subject\x00ciao"), "command 'L'"},
		{"header with three NULs", frame('L', "Subject\x00ciao\x00x\x00"), "command 'L'"},
		{"macros of nothing", frame('D', ""), "command 'D'"},
		{"negotiation too short", frame('O', "1234"), "command 'O'"},
		{"end of body with data", frame('E', "the end of the message"), "command 'E'"},
		{"MAIL of 100 KB", frame('M', strings.Repeat("a", 100_000)+"\x00"), "command 'M' has 100001 bytes"},
	}
	path, logged := serve(t, &fakeDoor{})
	for _, tt := range tests {
		for when, before := range map[string][]byte{"first": nil, "after the negotiation": hello} {
			t.Run(tt.name+" "+when, func(t *testing.T) {
				logged.b.Reset()
				conn, err := net.Dial("unix", path)
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				conn.SetDeadline(time.Now().Add(10 * time.Second))
				conn.Write(append(bytes.Clone(before), tt.frame...))
				if _, err := io.Copy(io.Discard, conn); errors.Is(err, os.ErrDeadlineExceeded) {
					t.Fatalf("connection is not closed: %v", err)
				}
				if got := logged.String(); !strings.Contains(got, tt.wantLog) || strings.Contains(got, "warning") {
					t.Errorf("log is %q, want one line with %q", got, tt.wantLog)
				}
			})
		}
	}
	if a := connect(t, path).send(simple()); a.reply != "accept" {
		t.Errorf("answer in the next session is %q, want accept", a.reply)
	}
}

// Well-formed frames in an order that no MTA sends.
func TestOutOfTurn(t *testing.T) {
	path, _ := serve(t, &fakeDoor{})
	end := frame('E', "")
	tests := []struct {
		name   string
		frames [][]byte
	}{
		{"end of message without MAIL", [][]byte{end}},
		{"body without MAIL", [][]byte{frame('B', "x"), end}},
		{"header without MAIL", [][]byte{frame('L', "A\x00b\x00"), end}},
		{"RCPT without MAIL", [][]byte{frame('R', "<a@b>\x00")}},
		{"DATA without MAIL", [][]byte{frame('T', "")}},
		{"abort without MAIL", [][]byte{frame('A', ""), frame('A', ""), end}},
		{"end of message after the end", [][]byte{end, end}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			conn := rawConn(t, path)
			for _, f := range tt.frames {
				conn.Write(f)
			}
			if command, data := readFrame(t, conn); command != 'y' || string(data) != temporary+"\x00" {
				t.Errorf("answer is %q %q, want %q", command, data, temporary)
			}
		})
	}
	t.Run("no recipient", func(t *testing.T) {
		conn := rawConn(t, path)
		conn.Write(append(frame('M', "<a@b>\x00"), end...))
		readFrame(t, conn)
		if _, data := readFrame(t, conn); string(data) != "554 5.5.1 no valid recipients\x00" {
			t.Errorf("answer is %q, want 554", data)
		}
	})
}

// Frames may come in pieces or many at once, over unix sockets or TCP.
func TestPieces(t *testing.T) {
	l, err := Listen("inet:127.0.0.1:0", "")
	if err != nil {
		t.Fatal(err)
	}
	startServer(t, l, &fakeDoor{}, io.Discard)
	all := bytes.Join([][]byte{hello, frame('D', "M{auth_authen}\x00u\x00"), frame('M', "<a@b>\x00"), frame('R', "<c@d>\x00"),
		frame('T', ""), frame('L', "A\x00 b\x00"), frame('B', ""), frame('B', "body"), frame('E', "")}, nil)
	for _, piece := range []int{1, 3, 5, 100, len(all)} {
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		conn.SetDeadline(time.Now().Add(10 * time.Second))
		for rest := all; len(rest) > 0; {
			n := min(piece, len(rest))
			conn.Write(rest[:n])
			rest = rest[n:]
		}
		var answers []byte
		for range 5 {
			command, _ := readFrame(t, conn)
			answers = append(answers, command)
		}
		if string(answers) != "Occca" {
			t.Errorf("answers to pieces of %d are %q, want %q", piece, answers, "Occca")
		}
		conn.Close()
	}
}

// rawConn is a connection after the negotiation.
func rawConn(t testing.TB, path string) net.Conn {
	t.Helper()
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(5 * time.Minute))
	conn.Write(hello)
	if command, _ := readFrame(t, conn); command != 'O' {
		t.Fatalf("negotiation is answered with %q", command)
	}
	return conn
}

func readFrame(t testing.TB, conn net.Conn) (command byte, data []byte) {
	t.Helper()
	command, data, err := nextFrame(conn)
	if err != nil {
		t.Fatalf("reading an answer: %v", err)
	}
	return command, data
}

func nextFrame(conn net.Conn) (command byte, data []byte, err error) {
	var length uint32
	if err := binary.Read(conn, binary.BigEndian, &length); err != nil {
		return 0, nil, err
	}
	data = make([]byte, length)
	if _, err := io.ReadFull(conn, data); err != nil {
		return 0, nil, err
	}
	return data[0], data[1:], nil
}

// rawMessage sends a message with a body of that size, without keeping any of
// it, and tells the size of the new body.
func rawMessage(t testing.TB, path string, size int) (got int) {
	t.Helper()
	conn := rawConn(t, path)
	for _, f := range [][]byte{frame('M', "<a@b>\x00"), frame('R', "<c@d>\x00"), frame('T', "")} {
		conn.Write(f)
		if command, _ := readFrame(t, conn); command != 'c' {
			t.Fatalf("%q is answered with %q, want c", f, command)
		}
	}
	conn.Write(frame('L', "Subject\x00 large\x00"))
	piece := frame('B', strings.Repeat("0123456789abcd\r\n", 4095))
	for sent := 0; sent < size; sent += len(piece) - 5 {
		conn.Write(piece)
	}
	conn.Write(frame('E', ""))
	for {
		switch command, data := readFrame(t, conn); command {
		case 'b':
			got += len(data)
		case 'p', 'm', 'i':
		case 'a':
			return got
		default:
			t.Fatalf("answer is %q %q", command, data)
		}
	}
}

// stream is a connection that brings these bytes.
type stream struct {
	net.Conn
	io.Reader
}

func (s stream) Read(p []byte) (int, error) { return s.Reader.Read(p) }
func (s stream) Close() error               { return nil }
func (s stream) RemoteAddr() net.Addr       { return &net.UnixAddr{Name: "stream"} }

// checkGuard passes bytes through the guard, and says what is wrong with what
// comes out.
func checkGuard(t *testing.T, in []byte) {
	t.Helper()
	out, _ := io.ReadAll(newGuardedConn(stream{Reader: bytes.NewReader(in)}, discard()))
	if !bytes.HasPrefix(in, out) {
		t.Fatalf("%q comes out as %q", in, out)
	}
	for len(out) > 0 {
		if len(out) < 5 {
			t.Fatalf("%q lets a part of a frame through", in)
		}
		length := binary.BigEndian.Uint32(out)
		command, data := out[4], out[5:]
		if length == 0 || length > 1<<20 || !strings.ContainsRune("OCHMRLDBETNAQKU", rune(command)) {
			t.Fatalf("%q lets %q of length %d through", in, command, length)
		}
		size := int(length) - 1
		if command == 'B' {
			size = min(size, len(data)) // passes as it comes
		}
		if size > len(data) {
			t.Fatalf("%q lets a part of %q through", in, command)
		}
		nuls := bytes.Count(data[:size], []byte{0})
		if strings.ContainsRune("CMR", rune(command)) && nuls == 0 || command == 'L' && nuls != 2 || command == 'E' && size > 0 {
			t.Fatalf("%q lets %q %q through", in, command, data[:size])
		}
		out = data[size:]
	}
}

// randomFrames is mostly well-formed.
func randomFrames(r *rand.Rand) []byte {
	var b []byte
	for range 1 + r.IntN(10) {
		data := make([]byte, r.IntN(20))
		for i := range data {
			data[i] = "a\x004LM<@>\xff"[r.IntN(9)]
		}
		f := frame("OCHMRLDBETNAQKUz"[r.IntN(16)], string(data))
		if r.IntN(10) == 0 {
			f[r.IntN(len(f))] = byte(r.IntN(256))
		}
		b = append(b, f...)
	}
	return b
}

// survives plays bytes to a server, behind hello, and waits until it is done with
// them. A panic in the library ends the test.
func survives(t *testing.T, path string, in []byte) {
	t.Helper()
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(time.Minute))
	go func() {
		conn.Write(append(bytes.Clone(hello), in...))
		conn.(*net.UnixConn).CloseWrite()
	}()
	if _, err := io.Copy(io.Discard, conn); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("server hangs on %q", in)
	}
}

// (RS-09)
func TestRandomFrames(t *testing.T) {
	path, _ := serve(t, &fakeDoor{})
	r := rand.New(rand.NewPCG(1, 2))
	for range 3000 {
		in := randomFrames(r)
		checkGuard(t, in)
		survives(t, path, in)
	}
}

// (RS-09)
func FuzzGuard(f *testing.F) {
	f.Add([]byte{0, 0, 0, 0})
	f.Add(frame('C', "host\x004\x00\x19192.0.2.1\x00"))
	f.Add(bytes.Join([][]byte{frame('M', "<a@b>\x00"), frame('R', "<c@d>\x00"), frame('T', ""),
		frame('L', "A\x00b\x00"), frame('B', "x"), frame('E', "")}, nil))
	f.Add([]byte{0, 0x10, 0, 0, 'B', 'x'})
	path, _ := serve(f, &fakeDoor{})
	f.Fuzz(func(t *testing.T, in []byte) {
		checkGuard(t, in)
		survives(t, path, in)
	})
}
