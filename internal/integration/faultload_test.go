//go:build integration

package integration

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/textproto"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// letter is one submission and what its client was told of it.
type letter struct {
	id       string // Message-ID, with its <>
	from     string
	data     []byte
	person   bool  // its client tries once: nobody repeats it
	accepted bool  // 250
	refused  error // 5xx
	next     time.Time
}

// load are clients that submit at the same time, each as a queue does: what gets
// 4xx, or no answer, is sent again with the same bytes until there is a 250.
type load struct {
	alfa    *Provider
	name    string // is in the Message-ID of its letters
	clients int
	letters int  // at least so many, over all clients; more until enough
	exactly bool // no more than letters
	to      []string
	padding func(n int) int            // bytes that the n-th letter of a client has besides; nil: none
	submit  func(*load, *letter) error // nil: load.send
	enough  <-chan struct{}            // the faults are over
	waiting atomic.Int64               // letters that have no 250 yet

	mu   sync.Mutex
	sent []*letter
}

// sender is the address of a client.
func (l *load) sender(client int) string {
	return fmt.Sprintf("%s-s%d@%s", l.name, client, l.alfa.Domain)
}

// run submits until all letters have their 250, or ctx is done.
func (l *load) run(ctx context.Context) {
	var all sync.WaitGroup
	for client := range l.clients {
		all.Go(func() { l.client(ctx, client) })
	}
	all.Wait()
}

func (l *load) client(ctx context.Context, client int) {
	var pending []*letter
	quota := (l.letters + l.clients - 1) / l.clients
	for n := 0; ctx.Err() == nil && (n < quota || !l.exactly && !l.isEnough()); n++ {
		if n >= quota { // no more than the faults need: a letter costs the machine more than a fault
			time.Sleep(time.Second)
		}
		letter := l.write(client, n)
		pending = l.retry(append(pending, letter))
	}
	for len(pending) > 0 && ctx.Err() == nil {
		time.Sleep(200 * time.Millisecond)
		pending = l.retry(pending)
	}
}

func (l *load) isEnough() bool {
	select {
	case <-l.enough:
		return true
	default:
		return false
	}
}

// write writes the n-th letter of a client. Every tenth is a person's.
func (l *load) write(client, n int) *letter {
	w := &letter{id: fmt.Sprintf("<%s.%d.%d@client.example>", l.name, client, n), from: l.sender(client), person: n%10 == 9}
	text := fmt.Sprintf("From: %s\nTo: %s\nSubject: %s %d\nDate: Mon, 2 Mar 2026 10:00:00 +0100\nMessage-ID: %s\n\nNumber %d.\n",
		w.from, strings.Join(l.to, ", "), l.name, n, w.id, n)
	if l.padding != nil {
		text += strings.Repeat(strings.Repeat("0123456789", 7)+"\n", l.padding(n)/71)
	}
	w.data = []byte(strings.ReplaceAll(text, "\n", "\r\n"))
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sent = append(l.sent, w)
	l.waiting.Add(1)
	return w
}

// retry submits those whose time has come; it gives those that wait.
func (l *load) retry(letters []*letter) (pending []*letter) {
	for _, w := range letters {
		if time.Now().Before(w.next) || !l.try(w) {
			pending = append(pending, w)
		}
	}
	return pending
}

// try submits a letter; done means that its client does nothing more.
func (l *load) try(w *letter) (done bool) {
	submit := l.submit
	if submit == nil {
		submit = (*load).send
	}
	err := submit(l, w)
	reply := (*textproto.Error)(nil)
	if errors.As(err, &reply) && reply.Code >= 500 {
		w.refused = err
	}
	w.accepted = err == nil
	w.next = time.Now().Add(time.Second)
	done = err == nil || w.person || w.refused != nil
	if done {
		l.waiting.Add(-1)
	}
	return done
}

func (l *load) send(w *letter) error { return l.alfa.Submit(NewMail(w.data, w.from, l.to...)) }

// errDropped: the client has gone away by itself.
var errDropped = errors.New("connection dropped by the client")

// dropBeforeDot and dropAfterDot go away at every other try; the queue then sends
// the same again.
func (l *load) dropBeforeDot(w *letter) error { return l.drop(w, false) }
func (l *load) dropAfterDot(w *letter) error  { return l.drop(w, true) }

func (l *load) drop(w *letter, dot bool) error {
	if !w.next.IsZero() { // not the first try
		return l.send(w)
	}
	client, err := l.alfa.logIn(w.from)
	if err != nil {
		return err
	}
	defer client.Close()
	if err := client.Mail(w.from); err != nil {
		return err
	}
	for _, r := range l.to {
		if err := client.Rcpt(r); err != nil {
			return err
		}
	}
	if _, err := client.Text.Cmd("DATA"); err != nil {
		return err
	}
	if _, _, err := client.Text.ReadResponse(354); err != nil {
		return err
	}
	if !dot {
		_, err := client.Text.W.Write(w.data[:len(w.data)/2])
		return errors.Join(errDropped, err, client.Text.W.Flush())
	}
	message := client.Text.DotWriter()
	_, err = io.Copy(message, bytes.NewReader(w.data))
	return errors.Join(errDropped, err, message.Close())
}
