//go:build integration

package integration

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// mtaKills is how often crashMTA kills the MTA.
const mtaKills = 5

// crashMTA kills the sender's MTA again and again while N clients
// submit a message each, and each submits it again until it has a 250. Whatever an
// attempt had come to, there is one message in the end.
func (s *stage) crashMTA(_ *bytes.Buffer, _ *testscript.TestScript, args []string) error {
	c, p, err := s.readCrash(args, sender)
	if err != nil {
		return err
	}
	results := make([]error, c.times)
	var clients sync.WaitGroup
	for i := range c.times {
		clients.Go(func() { results[i] = s.submitUntilTaken(p, c, i) })
	}
	for n := 0; n < mtaKills && err == nil; n++ {
		time.Sleep(200*time.Millisecond + rand.N(600*time.Millisecond))
		err = errors.Join(p.KillMTA(), p.startMTA())
	}
	// Who does not know what became of his message would be told to wait for a minute.
	s.changed = append(s.changed, func() error { return p.MoveClock(0) })
	err = errors.Join(err, p.MoveClock(2*time.Minute))
	clients.Wait()
	return errors.Join(append(results, err)...)
}

// submitUntilTaken is a client that does not give up.
func (s *stage) submitUntilTaken(p *Provider, c crash, i int) error {
	return waitFor(fmt.Sprintf("message %d taken", i), patience, func() error {
		err := p.Submit(c.message(i))
		if err != nil {
			time.Sleep(200 * time.Millisecond)
		}
		return err
	})
}
