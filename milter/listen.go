package milter

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// maxSocketPath is the longest path of a unix socket, in bytes (unix(7)).
const maxSocketPath = 107

// Listen opens a socket for the MTA, written as Postfix writes it
// ("inet:host:port", "unix:/path") or as Sendmail does ("inet:port@host",
// "local:/path").
//
// A unix socket gets mode 0660 and, unless group is empty, that group (a name or
// a number): the MTA must be in it. A socket file that nobody serves any more is
// taken over; one that is served is an error. TCP is for the loopback only: the
// protocol has neither authentication nor encryption, and who can speak it is
// believed what user has logged in.
func Listen(address, group string) (net.Listener, error) {
	kind, rest, _ := strings.Cut(address, ":")
	var l net.Listener
	var err error
	switch kind {
	case "inet", "inet6":
		l, err = listenTCP(rest)
	case "unix", "local":
		l, err = listenUnix(rest, group)
	default:
		err = errors.New("no socket address: write unix:/path, or inet:host:port with a loopback host")
	}
	if err != nil {
		return nil, fmt.Errorf("listening on %s: %w", address, err)
	}
	return l, nil
}

func listenTCP(address string) (net.Listener, error) {
	if port, host, sendmail := strings.Cut(address, "@"); sendmail {
		address = net.JoinHostPort(strings.Trim(host, "[]"), port)
	}
	tcp, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		return nil, err
	}
	if !tcp.IP.IsLoopback() {
		return nil, errors.New("only a loopback address is allowed: the protocol has no authentication, " +
			"so whoever reaches the port could certify mail in anybody's name. " +
			"Write inet:127.0.0.1:port, or better unix:/path; for an MTA on another machine use a tunnel")
	}
	return net.ListenTCP("tcp", tcp)
}

func listenUnix(path, group string) (net.Listener, error) {
	if !filepath.IsAbs(path) {
		return nil, errors.New("the path of a socket must be absolute: begin it with /")
	}
	if len(path) > maxSocketPath {
		return nil, fmt.Errorf("the path has %d bytes, a socket's may have %d: choose a shorter one", len(path), maxSocketPath)
	}
	if err := removeStale(path); err != nil {
		return nil, err
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	if err := grant(path, group); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// removeStale removes a socket file that nobody serves.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode().Type() != fs.ModeSocket {
		return errors.New("there is a file of another kind: remove it, or choose another path")
	}
	conn, err := net.DialTimeout("unix", path, 5*time.Second)
	if err == nil {
		return errors.Join(errors.New("another daemon serves this socket: stop it, or choose another path"), conn.Close())
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("finding out whether another daemon serves this socket: %w", err)
	}
	return os.Remove(path)
}

// grant lets the group, and nobody else, use the socket.
func grant(path, group string) error {
	if group != "" {
		id, err := groupID(group)
		if err != nil {
			return err
		}
		if err := os.Chown(path, -1, id); err != nil {
			return fmt.Errorf("giving the socket to group %s (we must be in it, or root): %w", group, err)
		}
	}
	return os.Chmod(path, 0o660)
}

func groupID(group string) (int, error) {
	if id, err := strconv.Atoi(group); err == nil {
		return id, nil
	}
	g, err := user.LookupGroup(group)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(g.Gid)
}
