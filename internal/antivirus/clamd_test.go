package antivirus

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pec-milter/pec-milter/internal/point"
)

func TestScan(t *testing.T) {
	for _, c := range []struct {
		name, reply string
		want        point.Finding
	}{
		{"clean", "stream: OK\x00", point.Finding{}},
		{"virus", "stream: Eicar-Test.UNOFFICIAL FOUND\x00", point.Finding{Virus: "Eicar-Test.UNOFFICIAL"}},
		{"over limits", "stream: Heuristics.Limits.Exceeded.MaxRecursion FOUND\x00", point.Finding{Limits: true}},
		{"encrypted", "stream: Heuristics.Encrypted.Zip FOUND\x00", point.Finding{Encrypted: true}},
	} {
		for _, network := range []string{"unix", "tcp"} {
			t.Run(c.name+" "+network, func(t *testing.T) {
				clamd := fake(t, network, answering(c.reply))
				got, err := clamd.Scan(t.Context(), text("Subject: x\r\n\r\n"))
				if err != nil || got != c.want {
					t.Errorf("Scan() = %+v, %v, want %+v", got, err, c.want)
				}
			})
		}
	}
}

func TestScanStreamsTheMessage(t *testing.T) {
	for _, c := range []struct {
		name    string
		message io.WriterTo
		want    string
	}{
		{"empty", text(""), ""},
		{"one byte", text("x"), "x"},
		{"a chunk", text(strings.Repeat("x", chunkSize)), strings.Repeat("x", chunkSize)},
		{"a chunk and a byte", text(strings.Repeat("x", chunkSize+1)), strings.Repeat("x", chunkSize+1)},
		{"one large write", text(strings.Repeat("0123456789", 1<<20)), strings.Repeat("0123456789", 1<<20)},
		{"empty writes", pieces{"", "a", "", "", "b", strings.Repeat("c", chunkSize), ""}, "ab" + strings.Repeat("c", chunkSize)},
		{"NUL", text("a\x00\x00\x00\x00b"), "a\x00\x00\x00\x00b"},
		{"read from a file", zeros(3*chunkSize + 5), strings.Repeat("\x00", 3*chunkSize+5)},
	} {
		t.Run(c.name, func(t *testing.T) {
			var command, got string
			var whole bool
			clamd := fake(t, "unix", func(conn net.Conn, in *bufio.Reader) {
				command = readCommand(in)
				message, end := readStream(in)
				got, whole = string(message), end
				io.WriteString(conn, "stream: OK\x00")
			})
			if _, err := clamd.Scan(t.Context(), c.message); err != nil {
				t.Fatal(err)
			}
			if command != "zINSTREAM\x00" || got != c.want || !whole {
				t.Errorf("clamd got command %q, %d bytes, end %v; want %q, %d bytes, end true", command, len(got), whole, "zINSTREAM\x00", len(c.want))
			}
		})
	}
}

// TestScanFailsClosed is case FP-04: whatever goes wrong with clamd is an error.
func TestScanFailsClosed(t *testing.T) {
	large := zeros(50 << 20)
	hang := func(in *bufio.Reader) { io.Copy(io.Discard, in) }
	for _, c := range []struct {
		name    string
		timeout time.Duration
		message io.WriterTo
		script  func(conn net.Conn, in *bufio.Reader)
		want    string
	}{
		{"hangs up at once", 0, large, func(net.Conn, *bufio.Reader) {}, ""},
		{"hangs up in the middle", 0, large, func(_ net.Conn, in *bufio.Reader) { in.Discard(1 << 20) }, ""},
		{"hangs up without a reply", 0, text("x"), answering(""), "without a reply"},
		{"breaks off its reply", 0, text("x"), answering("stream: OK"), "broken off"},
		{"breaks off in a word", 0, text("x"), answering("stream: Eicar FOU"), "broken off"},
		{"over StreamMaxLength", 0, text("x"), answering("INSTREAM size limit exceeded. ERROR\x00"), "set StreamMaxLength"},
		{"over StreamMaxLength, early", 0, large, early("INSTREAM size limit exceeded. ERROR\x00"), "set StreamMaxLength"},
		{"clean before it has the message", 0, large, early("stream: OK\x00"), "before it had the message"},
		{"infected before it has the message", 0, large, early("stream: Eicar FOUND\x00"), "before it had the message"},
		{"reply without end", 0, text("x"), answering(strings.Repeat("x", 10*maxReply)), "too long"},
		{"never replies", 300 * time.Millisecond, text("x"), func(_ net.Conn, in *bufio.Reader) { hang(in) }, "not done within 300ms"},
		{"never reads", 300 * time.Millisecond, large, func(net.Conn, *bufio.Reader) { <-t.Context().Done() }, "not done within 300ms"},
		{"never ends its reply", 300 * time.Millisecond, text("x"), func(conn net.Conn, in *bufio.Reader) {
			io.WriteString(conn, "stream: OK")
			hang(in)
		}, "not done within 300ms"},
	} {
		for _, network := range []string{"unix", "tcp"} {
			t.Run(c.name+" "+network, func(t *testing.T) {
				clamd := fake(t, network, c.script)
				if c.timeout > 0 {
					clamd.Timeout = c.timeout
				}
				got, err := clamd.Scan(t.Context(), c.message)
				if err == nil || got != (point.Finding{}) {
					t.Fatalf("Scan() = %+v, %v, want an error alone", got, err)
				}
				if !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), clamd.Address) {
					t.Errorf("Scan() gave the error %q, want one with %q and the address", err, c.want)
				}
			})
		}
	}
}

// early is a clamd that replies and hangs up while the message is on its way.
func early(reply string) func(net.Conn, *bufio.Reader) {
	return func(conn net.Conn, in *bufio.Reader) {
		in.Discard(1 << 20)
		io.WriteString(conn, reply)
	}
}

func TestReplyInPieces(t *testing.T) {
	clamd := fake(t, "unix", func(conn net.Conn, in *bufio.Reader) {
		readCommand(in)
		readStream(in)
		for _, b := range []byte("stream: Eicar FOUND\x00") {
			conn.Write([]byte{b})
			time.Sleep(time.Millisecond)
		}
	})
	got, err := clamd.Scan(t.Context(), text("x"))
	if want := (point.Finding{Virus: "Eicar"}); err != nil || got != want {
		t.Errorf("Scan() = %+v, %v, want %+v", got, err, want)
	}
}

func TestNoClamd(t *testing.T) {
	clamd := &Clamd{"unix", filepath.Join(t.TempDir(), "nobody"), time.Minute}
	if got, err := clamd.Scan(t.Context(), text("x")); err == nil || got != (point.Finding{}) {
		t.Errorf("Scan() = %+v, %v, want an error alone", got, err)
	}
}

// TestMessageFails: clamd must not take half a message for a whole one.
func TestMessageFails(t *testing.T) {
	whole := make(chan bool, 1)
	clamd := fake(t, "unix", func(conn net.Conn, in *bufio.Reader) {
		readCommand(in)
		_, end := readStream(in)
		whole <- end
		io.WriteString(conn, "stream: OK\x00")
	})
	broken := errors.New("disk on fire")
	got, err := clamd.Scan(t.Context(), failing{broken})
	if !errors.Is(err, broken) || got != (point.Finding{}) {
		t.Errorf("Scan() = %+v, %v, want the error %v", got, err, broken)
	}
	if <-whole {
		t.Error("clamd was told that the message is whole")
	}
}

func TestScanCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	clamd := fake(t, "unix", func(_ net.Conn, in *bufio.Reader) {
		readCommand(in)
		readStream(in)
		cancel()
		io.Copy(io.Discard, in)
	})
	if got, err := clamd.Scan(ctx, text("x")); !errors.Is(err, context.Canceled) || got != (point.Finding{}) {
		t.Errorf("Scan() = %+v, %v, want %v", got, err, context.Canceled)
	}
}

func TestScanNeedsNoMemory(t *testing.T) {
	clamd := fake(t, "unix", func(conn net.Conn, in *bufio.Reader) {
		readCommand(in)
		copyStream(io.Discard, in)
		io.WriteString(conn, "stream: OK\x00")
	})
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := clamd.Scan(t.Context(), zeros(200<<20))
	runtime.ReadMemStats(&after)
	if err != nil {
		t.Fatal(err)
	}
	if got := after.TotalAlloc - before.TotalAlloc; got > 16<<20 {
		t.Errorf("scanning 200 MiB allocated %d bytes, want less than 16 MiB", got)
	}
}

func TestScanConcurrently(t *testing.T) {
	clamd := fake(t, "unix", func(conn net.Conn, in *bufio.Reader) {
		readCommand(in)
		message, _ := readStream(in)
		io.WriteString(conn, "stream: "+string(message)+" FOUND\x00")
	})
	var all sync.WaitGroup
	for _, name := range []string{"A", "B", "C", "D", "E", "F", "G", "H"} {
		all.Go(func() {
			if got, err := clamd.Scan(t.Context(), text(name)); err != nil || got.Virus != name {
				t.Errorf("Scan(%s) = %+v, %v", name, got, err)
			}
		})
	}
	all.Wait()
}

func TestVersion(t *testing.T) {
	clamd := fake(t, "unix", func(conn net.Conn, in *bufio.Reader) {
		if got := readCommand(in); got != "zVERSION\x00" {
			t.Errorf("clamd got the command %q, want zVERSION", got)
		}
		io.WriteString(conn, "ClamAV 1.4.6/27500/Tue Jan  7 09:31:07 2025\x00")
	})
	engine, base, date, err := clamd.Version(t.Context())
	want := time.Date(2025, 1, 7, 9, 31, 7, 0, time.UTC)
	if err != nil || engine != "1.4.6" || base != "27500" || !date.Equal(want) {
		t.Errorf("Version() = %q, %q, %v, %v; want 1.4.6, 27500, %v", engine, base, date, err, want)
	}
}
