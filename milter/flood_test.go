package milter

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pec-milter/pec-milter/internal/point"
)

// A million malformed frames: each ends its connection with one line in the log,
// and none the process. (RS-09, RS-10)
func TestMillionBadFrames(t *testing.T) {
	million := 1_000_000 / slowdown
	path, _ := serve(t, &fakeDoor{})
	l := &flood{random: rand.New(rand.NewPCG(1, 2)), left: million, places: make(chan struct{}, 64), done: make(chan struct{}), closed: make(chan struct{})}
	var told counter
	server := NewServer(Config{Door: &fakeDoor{}, Clock: time.Now, Log: slog.New(&told)})
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	<-l.done
	if err := server.Shutdown(t.Context()); err != nil {
		t.Errorf("Shutdown() = %v", err)
	}
	if err := <-served; err != nil {
		t.Errorf("Serve() = %v", err)
	}
	if got := told.bad.Load(); got != int64(million) {
		t.Errorf("%d bad frames are in the log, want %d", got, million)
	}
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	if stats.Sys > 256<<20 {
		t.Errorf("the process has %d bytes, want no memory for lengths that frames claim", stats.Sys)
	}
	if a := connect(t, path).send(simple()); a.reply != "accept" {
		t.Errorf("answer in a good session is %q, want accept", a.reply)
	}
}

// badFrameOf makes one frame that the protocol does not allow, of each kind.
func badFrameOf(r *rand.Rand) []byte {
	text := make([]byte, r.IntN(40))
	for i := range text {
		text[i] = byte(1 + r.IntN(255)) // no NUL
	}
	data := string(text)
	switch r.IntN(8) {
	case 0: // nothing at all
		return []byte{0, 0, 0, 0}
	case 1: // from 1 MiB and 1 to 4 GiB
		return binary.BigEndian.AppendUint32(nil, maxFrame+1+r.Uint32N(1<<32-maxFrame-1))
	case 2:
		return frame("\x00zZYyabcdefXWVPsSIJ09 \xff"[r.IntN(22)], data)
	case 3: // strings without their NUL
		return frame("CHMRU"[r.IntN(5)], data)
	case 4: // a header field with one NUL, or three
		return frame('L', data+strings.Repeat("\x00", 1+2*r.IntN(2)))
	case 5: // no data is allowed
		return frame("ENTAQK"[r.IntN(6)], "x"+data)
	case 6: // too short
		return frame('O', data[:min(len(data), 11)])
	default:
		return frame('D', "")
	}
}

// flood is a network in memory over which one bad frame comes after the other,
// each on a connection of its own, first or in the middle of a session.
type flood struct {
	random *rand.Rand
	left   int
	places chan struct{}
	done   chan struct{} // closed when all connections have been served
	closed chan struct{} // closed when the server is told to end
}

func (f *flood) Accept() (net.Conn, error) {
	if f.left == 0 {
		for range cap(f.places) { // until the last is closed
			f.places <- struct{}{}
		}
		close(f.done)
		<-f.closed
		return nil, net.ErrClosed
	}
	f.left--
	f.places <- struct{}{}
	var in []byte
	for _, good := range [][]byte{hello, frame('M', "<a@b>\x00"), frame('R', "<c@d>\x00"), frame('L', "A\x00b\x00")}[:f.random.IntN(5)] {
		in = append(in, good...)
	}
	in = append(in, badFrameOf(f.random)...)
	return &recorded{in: bytes.NewReader(in), closed: func() { <-f.places }}, nil
}

func (f *flood) Close() error { close(f.closed); return nil }

func (f *flood) Addr() net.Addr { return &net.UnixAddr{Name: "flood"} }

// recorded is a connection over which something comes that is fixed before.
type recorded struct {
	net.Conn
	in     io.Reader
	once   sync.Once
	closed func()
}

func (c *recorded) Read(p []byte) (int, error)       { return c.in.Read(p) }
func (c *recorded) Write(p []byte) (int, error)      { return len(p), nil }
func (c *recorded) Close() error                     { c.once.Do(c.closed); return nil }
func (c *recorded) RemoteAddr() net.Addr             { return &net.UnixAddr{Name: "flood"} }
func (c *recorded) SetDeadline(time.Time) error      { return nil }
func (c *recorded) SetReadDeadline(time.Time) error  { return nil }
func (c *recorded) SetWriteDeadline(time.Time) error { return nil }

// counter is a log that counts the bad frames.
type counter struct{ bad atomic.Int64 }

func (c *counter) Enabled(context.Context, slog.Level) bool { return true }
func (c *counter) WithAttrs([]slog.Attr) slog.Handler       { return c }
func (c *counter) WithGroup(string) slog.Handler            { return c }
func (c *counter) Handle(_ context.Context, r slog.Record) error {
	if strings.HasPrefix(r.Message, "bad milter frame") {
		c.bad.Add(1)
	}
	return nil
}

// Connections on which nothing comes cost little: the MTA has one for each of
// its clients, however slow. (SM-06)
func TestIdleConnections(t *testing.T) {
	const connections = 400
	path, _ := serve(t, &fakeDoor{})
	connect(t, path).send(simple()) // whatever is made once
	before := memory()
	for range connections {
		rawConn(t, path).Write(frame('M', "<a@b>\x00"))
	}
	each := (memory() - before) / connections
	t.Logf("%d bytes for each idle connection, its client in this process included", each)
	if each > 64<<10 {
		t.Errorf("an idle connection has %d bytes, want at most 64 KiB", each)
	}
	if a := connect(t, path).send(simple()); a.reply != "accept" {
		t.Errorf("answer beside them is %q, want accept", a.reply)
	}
}

// memory is what is in use, stacks included.
func memory() int64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapInuse + stats.StackInuse)
}

// Many large messages at once, each of them rewritten, cost the memory of small
// ones. (RS-13)
func TestManyLarge(t *testing.T) { manyLarge(t, 40/min(slowdown, 4), 8<<20) }

// BenchmarkManyLarge is the same at full size.
func BenchmarkManyLarge(b *testing.B) {
	for b.Loop() {
		b.ReportMetric(float64(manyLarge(b, 200, 30_000_000))/1e6, "MB-peak")
	}
}

// manyLarge gives the most memory that was in use beyond what was before.
func manyLarge(t testing.TB, messages, size int) int64 {
	t.Helper()
	door := &fakeDoor{handle: func(_ context.Context, tr *point.Transaction) (*point.Verdict, error) {
		return replaceThen(tr, func() error { return nil })
	}}
	path, _ := serve(t, door, func(c *Config) { c.MaxConcurrent = 4 * runtime.NumCPU() })
	before := memory()
	var peak atomic.Int64
	measured := make(chan struct{})
	stop := make(chan struct{})
	go func() {
		defer close(measured)
		for ticker := time.NewTicker(50 * time.Millisecond); ; {
			select {
			case <-ticker.C:
				var stats runtime.MemStats
				runtime.ReadMemStats(&stats)
				peak.Store(max(peak.Load(), int64(stats.HeapInuse+stats.StackInuse)-before))
			case <-stop:
				return
			}
		}
	}()
	var all sync.WaitGroup
	for range messages {
		all.Go(func() {
			if got := rawMessage(t, path, size); got < size {
				t.Errorf("new body has %d bytes, want %d or more", got, size)
			}
		})
	}
	all.Wait()
	close(stop)
	<-measured
	if most := int64(64+messages) << 20; peak.Load() == 0 || peak.Load() > most {
		t.Errorf("%d messages of %d bytes took %d bytes of memory, want some and at most %d", messages, size, peak.Load(), most)
	}
	return peak.Load()
}
