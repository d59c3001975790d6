//go:build integration

package integration

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// dialogue is a client that keeps to no rule: it says what each FILE has, one after the
// other, byte for byte, to the provider's port 25, or for a USER to its submission port
// after STARTTLS and AUTH. A line of FILE is one of these:
//
//	"text\r\n"  sends that
//	< 250       reads a reply that begins with that
//	gone        the server has closed the connection
//	drop        closes the connection
func (s *stage) dialogue(_ *bytes.Buffer, ts *testscript.TestScript, args []string) error {
	p, err := s.provider(args[0])
	if err != nil {
		return err
	}
	conn, err := p.talk(args[1])
	if err != nil {
		return err
	}
	defer conn.Close()
	in := bufio.NewReader(conn)
	for _, file := range args[2:] {
		for n, line := range strings.Split(strings.TrimSpace(ts.ReadFile(file)), "\n") {
			if err := act(conn, in, line); err != nil {
				return fmt.Errorf("%s:%d: %s: %w", file, n+1, line, err)
			}
		}
	}
	return nil
}

// act does one line of a dialogue.
func act(conn net.Conn, in *bufio.Reader, line string) error {
	if line == "drop" {
		return conn.Close()
	}
	if line == "gone" {
		_, err := in.ReadByte()
		if errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) { // it had not read all that was sent
			return nil
		}
		return fmt.Errorf("the connection is open (%v)", err)
	}
	if want, found := strings.CutPrefix(line, "< "); found {
		return expectReply(in, want)
	}
	text, err := strconv.Unquote(line)
	if err != nil {
		return err
	}
	_, err = io.WriteString(conn, text)
	return err
}

// expectReply reads one reply, of one or more lines.
func expectReply(in *bufio.Reader, want string) error {
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return err
		}
		if !strings.HasPrefix(line, want) {
			return fmt.Errorf("the server says %q", line)
		}
		if len(line) < 4 || line[3] != '-' {
			return nil
		}
	}
}

// talk opens a connection and is polite until EHLO, or for a user until AUTH, is
// over.
func (p *Provider) talk(user string) (net.Conn, error) {
	port := p.Ports.SMTP
	if user != "nobody" {
		port = p.Ports.Submission
	}
	conn, err := net.Dial("tcp", address(port))
	if err != nil {
		return nil, err
	}
	_ = conn.SetDeadline(time.Now().Add(patience))
	err = converse(conn, "", "220", "EHLO client.example", "250")
	if err != nil || user == "nobody" {
		return conn, err
	}
	if err := converse(conn, "STARTTLS", "220"); err != nil {
		return conn, err
	}
	secret := base64.StdEncoding.EncodeToString([]byte("\x00" + user + "\x00" + Password))
	safe := tls.Client(conn, p.TLS())
	return safe, converse(safe, "EHLO client.example", "250", "AUTH PLAIN "+secret, "235")
}

// converse sends each command and reads its reply. Nothing may come behind the
// last one.
func converse(conn net.Conn, commandsAndReplies ...string) error {
	in := bufio.NewReader(conn)
	for n := 0; n < len(commandsAndReplies); n += 2 {
		if command := commandsAndReplies[n]; command != "" {
			if _, err := io.WriteString(conn, command+"\r\n"); err != nil {
				return err
			}
		}
		if err := expectReply(in, commandsAndReplies[n+1]); err != nil {
			return fmt.Errorf("%s: %w", commandsAndReplies[n], err)
		}
	}
	return nil
}
