package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/smtp"
	"strings"
	"sync/atomic"
	"time"

	"github.com/pec-milter/pec-milter/internal/integration"
)

// letter makes the messages that are sent: each has a Message-ID of its own, for
// the same bytes again would be the same submission.
type letter struct {
	from string
	to   []string
	size int64 // bytes, about
	last *atomic.Int64
}

// next is the next message, which is not in memory if it is large.
func (l letter) next() io.Reader {
	n := l.last.Add(1)
	header := strings.ReplaceAll(fmt.Sprintf("From: %s\nTo: %s\nSubject: measurement %d\nDate: Mon, 2 Mar 2026 10:00:00 +0100\n"+
		"Message-ID: <%[3]d.%[4]d@client.example>\nMIME-Version: 1.0\nContent-Type: application/octet-stream\nContent-Transfer-Encoding: base64\n\n",
		l.from, strings.Join(l.to, ",\n "), n, l.size), "\n", "\r\n")
	lines := max(1, (l.size-int64(len(header)))/int64(len(line)))
	return io.MultiReader(strings.NewReader(header), io.LimitReader(&repeated{}, lines*int64(len(line))))
}

var line = []byte(strings.Repeat("QUJD", 19) + "\r\n")

// repeated is the same line without end.
type repeated struct{ at int }

func (r *repeated) Read(p []byte) (n int, _ error) {
	for n < len(p) {
		copied := copy(p[n:], line[r.at:])
		n, r.at = n+copied, (r.at+copied)%len(line)
	}
	return n, nil
}

// session is an SMTP connection of a user who has authenticated.
type session struct{ *smtp.Client }

// dial connects to a submission service, with TLS.
func dial(port int, user string, config *tls.Config) (session, error) {
	client, err := smtp.Dial(fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return session{}, err
	}
	if err = client.Hello("client.example"); err == nil {
		err = client.StartTLS(config)
	}
	if err == nil {
		err = client.Auth(smtp.PlainAuth("", user, integration.Password, "127.0.0.1"))
	}
	if err != nil {
		return session{}, errors.Join(err, client.Close())
	}
	return session{client}, nil
}

// send does one transaction and tells how long it took, from MAIL to the answer
// to the message.
func (s session) send(l letter) (time.Duration, error) {
	message := l.next()
	began := time.Now()
	if err := s.Mail(l.from); err != nil {
		return 0, err
	}
	for _, r := range l.to {
		if err := s.Rcpt(r); err != nil {
			return 0, err
		}
	}
	data, err := s.Data()
	if err != nil {
		return 0, err
	}
	if _, err := io.CopyBuffer(struct{ io.Writer }{data}, message, make([]byte, 64<<10)); err != nil {
		return 0, err
	}
	err = data.Close()
	return time.Since(began), err
}

// submit sends messages over some sessions at once, and gives the time that each
// took. The sessions are open before the clock starts.
func submit(port, sessions, messages int, l letter, config *tls.Config) (began time.Time, times []time.Duration, err error) {
	open := make([]session, 0, sessions)
	defer func() {
		for _, s := range open {
			err = errors.Join(err, s.Quit())
		}
	}()
	for range sessions {
		s, err := dial(port, l.from, config)
		if err != nil {
			return began, nil, err
		}
		open = append(open, s)
	}
	began = time.Now()
	times, err = share(open, messages, l)
	return began, times, err
}

// share has the sessions send the messages; whoever is free takes the next one.
func share(open []session, messages int, l letter) (times []time.Duration, err error) {
	type result struct {
		took time.Duration
		err  error
	}
	results, left := make(chan result), atomic.Int64{}
	left.Store(int64(messages))
	for _, s := range open {
		go func() {
			for left.Add(-1) >= 0 {
				took, err := s.send(l)
				results <- result{took, err}
			}
		}()
	}
	for range messages {
		r := <-results
		times, err = append(times, r.took), errors.Join(err, r.err)
	}
	return times, err
}
