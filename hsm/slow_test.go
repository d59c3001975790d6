package hsm

import (
	"crypto"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// slowSession takes so long for a signature, and makes some at once: a hardware
// module with a few engines.
type slowSession struct {
	fakeSession
	takes   time.Duration
	engines chan struct{}
}

func (s *slowSession) Sign(crypto.PublicKey, []byte, crypto.SignerOpts) ([]byte, error) {
	s.engines <- struct{}{}
	defer func() { <-s.engines }()
	time.Sleep(s.takes)
	return []byte("signature"), nil
}

// TestSlowTokenIsKeptBusy: 20 callers on a token of 10 ms a signature get all that it
// can do, or all that the sessions can, but for nothing. The time is synctest's: what
// it shows is that the pool never leaves the token idle, not how fast it is itself.
func TestSlowTokenIsKeptBusy(t *testing.T) {
	const callers, each, takes = 20, 50, 10 * time.Millisecond
	for _, c := range []struct{ engines, sessions, atOnce int }{
		{1, DefaultSessions, 1}, {8, DefaultSessions, 8}, {64, 10, 10}, {64, 20, 20},
	} {
		t.Run(fmt.Sprintf("%d engines, %d sessions", c.engines, c.sessions), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				slow := &slowSession{takes: takes, engines: make(chan struct{}, c.engines)}
				token := newToken(func() (session, error) { return slow, nil }, time.Minute, c.sessions, quiet)
				// Open it first: synctest's time stands still while anybody waits for the
				// lock that opening takes.
				if _, err := token.start(); err != nil {
					t.Fatal(err)
				}
				began := time.Now()
				var all sync.WaitGroup
				for range callers {
					all.Go(func() {
						for range each {
							if _, err := (tokenKey{token, nil}).Sign(nil, nil, crypto.SHA256); err != nil {
								t.Error(err)
							}
						}
					})
				}
				all.Wait()
				if got, want := time.Since(began), takes*callers*each/time.Duration(c.atOnce); got > want*10/9 {
					t.Errorf("%d signatures took %v, want at most %v/0.9", callers*each, got, want)
				}
			})
		})
	}
}
