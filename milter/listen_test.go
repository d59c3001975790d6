package milter

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// socketDirectory is short enough for the path of a socket.
func socketDirectory(t *testing.T) string {
	t.Helper()
	directory, err := os.MkdirTemp("", "listen")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(directory) })
	return directory
}

func TestListen(t *testing.T) {
	directory := socketDirectory(t)
	for name, address := range map[string]string{
		"Postfix, unix":          "unix:" + directory + "/a",
		"Sendmail, unix":         "local:" + directory + "/b",
		"Postfix, TCP":           "inet:127.0.0.1:0",
		"Sendmail, TCP":          "inet:0@127.0.0.1",
		"Postfix, name":          "inet:localhost:0",
		"Sendmail, name":         "inet:0@localhost",
		"another loopback":       "inet:127.1.2.3:0",
		"Sendmail, inet6 prefix": "inet6:0@127.0.0.1",
	} {
		t.Run(name, func(t *testing.T) {
			l, err := Listen(address, "")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			conn, err := net.Dial(l.Addr().Network(), l.Addr().String())
			if err != nil {
				t.Fatalf("nobody listens on %v: %v", l.Addr(), err)
			}
			conn.Close()
		})
	}
}

// OP-01: no socket of ours is one that another host can reach.
func TestListenRefused(t *testing.T) {
	directory := socketDirectory(t)
	file := filepath.Join(directory, "file")
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	const loopback = "only a loopback address is allowed"
	tests := []struct {
		name, address, group, want string
	}{
		{"all addresses", "inet:0.0.0.0:0", "", loopback},
		{"all addresses, IPv6", "inet:[::]:0", "", loopback},
		{"all addresses, Sendmail", "inet:0@0.0.0.0", "", loopback},
		{"no host", "inet::0", "", loopback},
		{"another host", "inet:192.0.2.1:0", "", loopback},
		{"IPv6 host", "inet6:0@2001:db8::1", "", loopback},
		{"no port", "inet:127.0.0.1", "", "missing port"},
		{"only a port", "inet:8891", "", "missing port"},
		{"no kind", "/run/socket", "", "no socket address"},
		{"unknown kind", "tcp:127.0.0.1:0", "", "no socket address"},
		{"empty", "", "", "no socket address"},
		{"relative path", "unix:private/socket", "", "must be absolute"},
		{"long path", "unix:/" + strings.Repeat("x", 107), "", "108 bytes"},
		{"a file", "unix:" + file, "", "file of another kind"},
		{"no directory", "unix:" + directory + "/no/socket", "", "no such file"},
		{"unknown group", "unix:" + directory + "/a", "nosuchgroup", "nosuchgroup"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l, err := Listen(tt.address, tt.group)
			if err == nil {
				l.Close()
				t.Fatalf("Listen(%q) gave no error, want %q", tt.address, tt.want)
			}
			if !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), tt.address) {
				t.Errorf("Listen(%q) = %v, want %q and the address", tt.address, err, tt.want)
			}
		})
	}
	if got, err := os.ReadFile(file); err != nil || string(got) != "precious" {
		t.Errorf("the file is %q (%v) now", got, err)
	}
	if _, err := os.Lstat(directory + "/a"); !os.IsNotExist(err) {
		t.Errorf("a refused socket is left behind: %v", err)
	}
}

// OP-01: only the group that is named may connect.
func TestSocketMode(t *testing.T) {
	path := filepath.Join(socketDirectory(t), "s")
	l, err := Listen("unix:"+path, strconv.Itoa(os.Getgid()))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Mode().Perm(); got != 0o660 {
		t.Errorf("mode is %o, want 660", got)
	}
}

func TestSecondDaemon(t *testing.T) {
	path := filepath.Join(socketDirectory(t), "s")
	first, err := Listen("unix:"+path, "")
	if err != nil {
		t.Fatal(err)
	}
	if second, err := Listen("unix:"+path, ""); err == nil || !strings.Contains(err.Error(), "another daemon serves this socket") {
		t.Errorf("second Listen = %v, %v, want an error that tells of the first", second, err)
	}
	if conn, err := net.Dial("unix", path); err != nil {
		t.Errorf("the first daemon lost its socket: %v", err)
	} else {
		conn.Close()
	}
	// The first dies without cleaning up.
	first.(*net.UnixListener).SetUnlinkOnClose(false)
	first.Close()
	if _, err := os.Lstat(path); err != nil {
		t.Fatal(err)
	}
	third, err := Listen("local:"+path, "")
	if err != nil {
		t.Fatalf("the socket of a dead daemon is not taken over: %v", err)
	}
	third.Close()
}
