//go:build integration

package integration

import (
	"bytes"
	"errors"
	"fmt"
	"net/textproto"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

const (
	tokenClients = 4
	absentFor    = 3 * time.Second // at least
	recoverTime  = 10 * time.Second
)

// absence is a load on a provider whose token goes away and comes back.
type absence struct {
	crash    // what is sent
	sender   *Provider
	next     atomic.Int64
	accepted atomic.Int64
	refused  atomic.Int64 // with 451
	slowest  atomic.Int64 // submission that was accepted, before the token went
	failed   chan error
}

// tokenAway has some clients submit N messages, each again until it is accepted. When
// a third of them are, the files of the sender's token are moved away: SoftHSM reads
// the key's file for every signature, so that each fails from then on, and the module
// does not find the token when it is loaded anew. When the clients have been refused
// for some time, the files are moved back. Whatever is refused must be with 451, and the
// first acceptance come within 10 s, or ten times what a submission took before.
func (s *stage) tokenAway(_ *bytes.Buffer, _ *testscript.TestScript, args []string) error {
	c, p, err := s.readCrash(args, sender)
	if err != nil {
		return err
	}
	a := &absence{crash: c, sender: p, failed: make(chan error, tokenClients)}
	var all sync.WaitGroup
	for range tokenClients {
		all.Go(a.client)
	}
	err = a.play()
	if err != nil {
		a.next.Store(int64(a.times)) // no more of them
	}
	all.Wait()
	s.expectRefused(a)
	select {
	case failed := <-a.failed:
		err = errors.Join(err, failed)
	default:
	}
	return err
}

// expectRefused: the legal log has what was begun with each message that was refused,
// and nothing came of that.
func (s *stage) expectRefused(a *absence) {
	for range a.refused.Load() {
		for _, rule := range []string{"0 accettazione, want 1", "0 prese in carico, want 1", "0 consegne or mancate consegne, want 1"} {
			s.expected = append(s.expected, expected{a.from, rule})
		}
	}
}

// client submits one message after the other.
func (a *absence) client() {
	for i := int(a.next.Add(1)) - 1; i < a.times; i = int(a.next.Add(1)) - 1 {
		if err := a.insist(i); err != nil {
			a.failed <- fmt.Errorf("message %d: %w", i, err)
			return
		}
	}
}

// insist submits a message until it is accepted.
func (a *absence) insist(i int) error {
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		began := time.Now()
		err := a.sender.Submit(a.message(i))
		if err == nil {
			if a.refused.Load() == 0 {
				a.slowest.Store(max(a.slowest.Load(), int64(time.Since(began))))
			}
			a.accepted.Add(1)
			return nil
		}
		if reply := (*textproto.Error)(nil); !errors.As(err, &reply) || reply.Code != 451 {
			return fmt.Errorf("got %w, want 250 or 451", err)
		}
		a.refused.Add(1)
	}
	return fmt.Errorf("not accepted within %v", patience)
}

// play takes the token away and brings it back.
func (a *absence) play() (err error) {
	if err := a.until("a third of the messages accepted", func() bool { return a.accepted.Load() >= int64(a.times/3) }); err != nil {
		return err
	}
	tokens := a.sender.daemonFile("tokens")
	if err := errors.Join(os.Rename(tokens, tokens+".away"), os.Mkdir(tokens, 0o755)); err != nil {
		return err
	}
	back := func() error { return errors.Join(os.Remove(tokens), os.Rename(tokens+".away", tokens)) }
	err = a.until("every client refused", func() bool { return a.refused.Load() >= 2*tokenClients })
	time.Sleep(absentFor)
	before := a.accepted.Load()
	if err := errors.Join(err, back()); err != nil {
		return err
	}
	began := time.Now()
	if err := a.until("a message accepted again", func() bool { return a.accepted.Load() > before }); err != nil {
		return err
	}
	took, within := time.Since(began), max(recoverTime, 10*time.Duration(a.slowest.Load()))
	fmt.Fprintf(os.Stderr, "token of %s away: %d times 451, accepted again after %v\n", a.sender.Name, a.refused.Load(), took)
	if took > within {
		return fmt.Errorf("accepted again after %v, want at most %v", took, within)
	}
	return nil
}

func (a *absence) until(what string, done func() bool) error {
	for end := time.Now().Add(patience); !done(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			return fmt.Errorf("not within %v: %s; %d accepted, %d refused", patience, what, a.accepted.Load(), a.refused.Load())
		}
	}
	return nil
}
