//go:build integration

package integration

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// settings changes the daemon's configuration, until the end of the story: each is
// TABLE.KEY=VALUE, as TOML writes the value.
func (s *stage) settings(_ *bytes.Buffer, _ *testscript.TestScript, args []string) error {
	p, err := s.provider(args[0])
	if err != nil {
		return err
	}
	before, err := os.ReadFile(p.ConfigFile())
	if err != nil {
		return err
	}
	text := string(before)
	for _, setting := range args[1:] {
		table, assignment, _ := strings.Cut(setting, ".")
		head := "[" + table + "]\n"
		if !strings.Contains(text, head) {
			return fmt.Errorf("%s has no table %s", p.ConfigFile(), table)
		}
		text = strings.Replace(text, head, head+assignment+"\n", 1)
	}
	s.changed = append(s.changed, func() error { return p.restartWith(string(before)) })
	return p.restartWith(text)
}

func (p *Provider) restartWith(config string) error {
	return errors.Join(p.StopDaemon(), replaceFile(p.ConfigFile(), config), p.StartDaemon())
}

// crowd opens connections to the provider's port 25, and as many to its submission
// port, and is silent after EHLO until the end of the story. The server must not
// have closed any by then.
func (s *stage) crowd(_ *bytes.Buffer, _ *testscript.TestScript, args []string) error {
	p, err := s.provider(args[0])
	if err != nil {
		return err
	}
	count, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	var idle []net.Conn
	s.changed = append(s.changed, func() error { return leave(idle) })
	for range count {
		for _, port := range []int{p.Ports.SMTP, p.Ports.Submission} {
			conn, err := net.Dial("tcp", address(port))
			if err != nil {
				return err
			}
			idle = append(idle, conn)
			_ = conn.SetDeadline(time.Now().Add(3 * patience))
			if err := converse(conn, "", "220", "EHLO idle.example", "250"); err != nil {
				return fmt.Errorf("idle connection %d: %w", len(idle), err)
			}
		}
	}
	return nil
}

// leave says QUIT on each connection, and hears the answer.
func leave(idle []net.Conn) error {
	var errs []error
	for n, conn := range idle {
		if err := converse(conn, "QUIT", "221"); err != nil {
			errs = append(errs, fmt.Errorf("idle connection %d was not served any more: %w", n+1, err))
		}
		conn.Close()
	}
	return errors.Join(errs...)
}

// slowClient submits a message, a byte in ten seconds.
type slowClient struct {
	hurry chan struct{} // closed: the rest of it at once
	done  chan struct{} // closed when it has ended
	sent  int           // bytes before it hurried; to be read when it is done
	err   error         // likewise
}

// slowly begins to submit a message, a byte in ten seconds, until the command
// "hurry".
func (s *stage) slowly(_ *bytes.Buffer, ts *testscript.TestScript, args []string) error {
	m := readMail(ts, args[1], args)
	p, err := s.providerOf(m.From)
	if err != nil {
		return err
	}
	message, err := io.ReadAll(m.Message)
	if err != nil {
		return err
	}
	conn, err := p.talk(m.User)
	if err != nil {
		return err
	}
	err = converse(conn, "MAIL FROM:<"+m.From+">", "250", "RCPT TO:<"+m.To[0]+">", "250", "DATA", "354")
	if err != nil {
		return errors.Join(err, conn.Close())
	}
	c := &slowClient{hurry: make(chan struct{}), done: make(chan struct{})}
	s.slow = append(s.slow, c)
	_ = conn.SetDeadline(time.Now().Add(3 * patience))
	s.changed = append(s.changed, func() error { _ = conn.Close(); return nil }) // ended already, or given up
	go func() {
		defer close(c.done)
		c.err = c.talk(conn, append(message, "\r\n.\r\n"...))
	}()
	return nil
}

func (c *slowClient) talk(conn net.Conn, message []byte) error {
	pace := time.NewTicker(10 * time.Second)
	defer pace.Stop()
	for slow := true; slow && c.sent < len(message)-1; {
		if _, err := conn.Write(message[c.sent : c.sent+1]); err != nil {
			return err
		}
		c.sent++
		select {
		case <-pace.C:
		case <-c.hurry:
			slow = false
		}
	}
	if _, err := conn.Write(message[c.sent:]); err != nil {
		return err
	}
	return expectReply(bufio.NewReader(conn), "250")
}

// hurryUp has all slow clients send the rest: none may have ended before, each must
// have sent N bytes slowly, and gets its 250.
func (s *stage) hurryUp(_ *bytes.Buffer, _ *testscript.TestScript, args []string) error {
	least, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	var errs []error
	for _, c := range s.slow {
		select {
		case <-c.done:
			errs = append(errs, errors.New("a slow client has ended before its time"))
		default:
		}
		close(c.hurry)
		<-c.done
		if c.err != nil || c.sent < least {
			errs = append(errs, fmt.Errorf("a slow client: %d bytes, then error %v", c.sent, c.err))
		}
	}
	s.slow = nil
	return errors.Join(errs...)
}
