package main

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pec-milter/pec-milter/internal/config"
)

// The address tells which socket is whose, however it is written.
func TestTakeSockets(t *testing.T) {
	unix, err := net.Listen("unix", filepath.Join(t.TempDir(), "delivery.sock"))
	if err != nil {
		t.Fatal(err)
	}
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	given := sockets{addressOf(unix): unix, addressOf(tcp): tcp}
	defer given.close()
	port := strconv.Itoa(tcp.Addr().(*net.TCPAddr).Port)
	for written, want := range map[string]net.Listener{
		"unix:" + unix.Addr().String(): unix,
		"inet:" + port + "@localhost":  tcp,
	} {
		var socket config.Socket
		if err := socket.UnmarshalText([]byte(written)); err != nil {
			t.Fatal(err)
		}
		got, err := given.take(socket)
		if err != nil || got != want {
			t.Errorf("take(%s) = %v, %v, want the socket", written, got, err)
			continue
		}
		defer got.Close()
		if _, err := given.take(socket); !needsPerson(err) {
			t.Errorf("take(%s) again: error %v, want one with exit code 78", written, err)
		}
	}
	if err := given.refuse(); err != nil {
		t.Errorf("refuse with none left = %v", err)
	}
}

func TestRefuseSockets(t *testing.T) {
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "other.sock"))
	if err != nil {
		t.Fatal(err)
	}
	given := sockets{addressOf(l): l}
	if err := given.refuse(); !needsPerson(err) || !strings.Contains(err.Error(), "other.sock") {
		t.Errorf("refuse = %v, want an error that names the socket, with exit code 78", err)
	}
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the socket that was refused is open: %v", err)
	}
}

// needsPerson: systemd does not try again by itself.
func needsPerson(err error) bool {
	e := (*exit)(nil)
	return errors.As(err, &e) && e.code == exitConfig
}

// systemd hears of us as long as we are alive, and no longer.
func TestWatchdog(t *testing.T) {
	heard := listenAsSystemd(t)
	t.Setenv("WATCHDOG_USEC", "1000000")
	t.Setenv("WATCHDOG_PID", strconv.Itoa(os.Getpid()))
	logger := slog.New(slog.DiscardHandler)
	tellSystemd(logger, "READY=1")
	if got := heard(); got != "READY=1" {
		t.Errorf("systemd heard %q, want READY=1", got)
	}
	hang := make(chan struct{})
	calls := 0
	stop := watchdog(context.Background(), logger, func() {
		if calls++; calls > 2 {
			<-hang
		}
	})
	for range 2 {
		if got := heard(); got != "WATCHDOG=1" {
			t.Errorf("systemd heard %q, want WATCHDOG=1", got)
		}
	}
	if got := heard(); got != "" {
		t.Errorf("systemd heard %q of what hangs, want nothing", got)
	}
	close(hang)
	stop()
}

// Without a watchdog nothing is asked.
func TestNoWatchdog(t *testing.T) {
	t.Setenv("WATCHDOG_USEC", "")
	t.Setenv("NOTIFY_SOCKET", filepath.Join(t.TempDir(), "nobody"))
	watchdog(context.Background(), slog.New(slog.DiscardHandler), func() { t.Error("alive was asked") })()
	var log bytes.Buffer
	tellSystemd(slog.New(slog.NewTextHandler(&log, nil)), "READY=1")
	if !strings.Contains(log.String(), "systemd was not told") {
		t.Errorf("the log has %q, want that nobody was told", log.String())
	}
}

// listenAsSystemd gives what is heard within a second; "" for nothing.
func listenAsSystemd(t *testing.T) func() string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	t.Setenv("NOTIFY_SOCKET", path)
	return func() string {
		state := make([]byte, 100)
		if err := conn.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
			t.Fatal(err)
		}
		n, err := conn.Read(state)
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal(err)
		}
		return string(state[:n])
	}
}
