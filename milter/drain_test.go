package milter

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// lateListener gives a connection only when it is closed: it was taken just as the
// server was told to stop.
type lateListener struct {
	net.Listener
	taken   chan struct{} // a connection is taken
	stopped chan struct{}
}

func (l *lateListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err == nil {
		close(l.taken)
		<-l.stopped
	}
	return conn, err
}

func (l *lateListener) Close() error {
	close(l.stopped)
	return l.Listener.Close()
}

// TestShutdownServesWhatItTook: nobody whose connection was taken is turned away.
func TestShutdownServesWhatItTook(t *testing.T) {
	path := socketPath(t)
	inner, err := Listen("unix:"+path, "")
	if err != nil {
		t.Fatal(err)
	}
	l := &lateListener{inner, make(chan struct{}), make(chan struct{})}
	logged := &lockedBuffer{}
	server := startServer(t, l, &fakeDoor{}, logged)
	answered := make(chan string, 1)
	go func() {
		conn, err := net.Dial("unix", path)
		if err != nil {
			answered <- err.Error()
			return
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(time.Minute))
		conn.Write(hello)
		var answer [5]byte
		if _, err := conn.Read(answer[:]); err != nil {
			answered <- err.Error()
			return
		}
		answered <- string(answer[4])
	}()
	<-l.taken
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil {
		t.Errorf("Shutdown() = %v", err)
	}
	if got := <-answered; got != "O" {
		t.Errorf("a connection taken as the server stops is answered with %q, want the negotiation", got)
	}
}

// TestRestartTurnsNobodyAway: with a socket that outlives the server, as systemd's,
// one server follows the other, and every message of many clients is accepted.
func TestRestartTurnsNobodyAway(t *testing.T) {
	first, err := Listen("unix:"+socketPath(t), "")
	if err != nil {
		t.Fatal(err)
	}
	socket := first.(*net.UnixListener)
	socket.SetUnlinkOnClose(false)
	held, err := socket.File()
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	path := socket.Addr().String()
	done := make(chan struct{})
	refused := make(chan string, 1000)
	for range 4 {
		go func() {
			defer func() { done <- struct{}{} }()
			for range 500 {
				if answer := oneMessage(path); answer != "a" {
					refused <- answer
				}
			}
		}()
	}
	l := net.Listener(socket)
	ended := 0
	for restarts := 0; ended < 4; restarts++ {
		t.Run("", func(t *testing.T) {
			startServer(t, l, &fakeDoor{}, &lockedBuffer{})
			select {
			case <-done:
				ended++
			case <-time.After(10 * time.Millisecond):
			}
		})
		if l, err = net.FileListener(held); err != nil {
			t.Fatal(err)
		}
		if restarts == 10_000 {
			t.Fatal("the clients do not end")
		}
	}
	l.Close()
	close(refused)
	for answer := range refused {
		t.Errorf("a message was answered with %q", answer)
	}
}

// oneMessage sends a message as raw frames and gives the letter of the last answer, or
// the error.
func oneMessage(path string) string {
	conn, err := net.Dial("unix", path)
	if err != nil {
		return err.Error()
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(time.Minute))
	frames := [][]byte{hello, frame('M', "<a@b>\x00"), frame('R', "<c@d>\x00"), frame('T', ""), frame('E', "")}
	for _, f := range frames {
		if _, err := conn.Write(f); err != nil {
			return err.Error()
		}
	}
	last := ""
	for range frames {
		command, _, err := nextFrame(conn)
		if err != nil {
			return err.Error()
		}
		last = string(command)
	}
	return last
}

// socketPath is a short one: t.TempDir may be too long for a socket.
func socketPath(t testing.TB) string {
	t.Helper()
	directory, err := os.MkdirTemp("", "milter")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(directory) })
	return filepath.Join(directory, "s")
}
