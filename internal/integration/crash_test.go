//go:build integration

package integration

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// crash is what a crash command is told: N FROM TO.
type crash struct {
	times    int
	from, to string
}

// readCrash reads TIMES FROM TO, and finds the provider of one of the two.
func (s *stage) readCrash(args []string, whose func(crash) string) (crash, *Provider, error) {
	times, err := strconv.Atoi(args[0])
	if err != nil {
		return crash{}, nil, err
	}
	c := crash{times, args[1], args[2]}
	p, err := s.providerOf(whose(c))
	return c, p, err
}

func sender(c crash) string    { return c.from }
func recipient(c crash) string { return c.to }

// message is the i-th message; its Message-ID has the sender's name in it.
func (c crash) message(i int) Mail {
	text := fmt.Sprintf("From: %s\nTo: %s\nSubject: crash %d\nDate: Mon, 2 Mar 2026 10:00:00 +0100\nMessage-ID: <%d.%s>\n\nNumber %d.\n",
		c.from, c.to, i, i, c.from, i)
	return NewMail([]byte(strings.ReplaceAll(text, "\n", "\r\n")), c.from, c.to)
}

// crashAfterAccess kills the sender's pec-milter at some moment right after the
// client had its 250: mostly before the queue has delivered anything.
func (s *stage) crashAfterAccess(_ *bytes.Buffer, _ *testscript.TestScript, args []string) error {
	c, p, err := s.readCrash(args, sender)
	if err != nil {
		return err
	}
	for i := range c.times {
		if err := p.Submit(c.message(i)); err != nil {
			return fmt.Errorf("message %d: %w", i, err)
		}
		// The first is killed at once, the others up to 60 ms later: before,
		// during and after the first notices.
		time.Sleep(time.Duration(i) * rand.N(3*time.Millisecond))
		if err := errors.Join(p.KillDaemon(), p.StartDaemon()); err != nil {
			return fmt.Errorf("restart %d: %w", i, err)
		}
	}
	return nil
}

// crashAfterStore kills the recipient's pec-milter each time when the mailbox
// store has said 250 and pec-milter has not heard it: the message is in the
// mailbox, and the receipt is owed.
func (s *stage) crashAfterStore(_ *bytes.Buffer, _ *testscript.TestScript, args []string) error {
	c, p, err := s.readCrash(args, recipient)
	if err != nil {
		return err
	}
	forget := func() error { return nil }
	if slices.Contains(args, "forgotten") {
		// As if Dovecot had died too, between the message and what it remembers.
		forget = func() error { return os.Remove(filepath.Join(p.home(Local(c.to)), ".dovecot.lda-dupes")) }
	}
	return s.crashBeforeReply(c, p, p.MailboxProxy(), forget)
}

// crashAfterInject does the same when Postfix has said 250 to a notice.
func (s *stage) crashAfterInject(_ *bytes.Buffer, _ *testscript.TestScript, args []string) error {
	c, p, err := s.readCrash(args, recipient)
	if err != nil {
		return err
	}
	return s.crashBeforeReply(c, p, p.InjectProxy(), func() error { return nil })
}

// crashBeforeReply submits the messages and kills p's pec-milter with the first
// reply of each that passes the proxy; then something else befalls the provider.
func (s *stage) crashBeforeReply(c crash, p *Provider, proxy *Proxy, then func() error) error {
	sender, err := s.providerOf(c.from)
	if err != nil {
		return err
	}
	for i := range c.times {
		killed := make(chan error, 1)
		var once sync.Once
		proxy.BeforeReply(func(string) {
			once.Do(func() { killed <- p.KillDaemon() })
		})
		if err := sender.Submit(c.message(i)); err != nil {
			return fmt.Errorf("message %d: %w", i, err)
		}
		select {
		case err = <-killed:
		case <-time.After(patience):
			err = errors.New("its reply was never seen")
		}
		proxy.BeforeReply(nil)
		if err := errors.Join(err, then(), p.StartDaemon()); err != nil {
			return fmt.Errorf("message %d: %w", i, err)
		}
	}
	return nil
}
