package hsm

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// workingSession signs with a real key, until something is wrong with it.
type workingSession struct {
	key   *rsa.PrivateKey
	err   error // of every call
	flips bool  // a bit of every signature
	signs int
}

func (s *workingSession) Find(crypto.PublicKey) error { return s.err }

func (s *workingSession) Sign(_ crypto.PublicKey, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	s.signs++
	if s.err != nil {
		return nil, s.err
	}
	signature, err := s.key.Sign(rand.Reader, digest, opts)
	if s.flips {
		signature[7] ^= 1
	}
	return signature, err
}

func (s *workingSession) Close() error { return nil }

// newTokens are tokens a, b … with these sessions, open.
func newTokens(log *slog.Logger, sessions ...*workingSession) *tokens {
	ts := &tokens{log: log}
	for i, s := range sessions {
		t := newToken(func() (session, error) { return s, nil }, time.Minute, DefaultSessions, log)
		t.name = string(rune('a' + i))
		ts.all = append(ts.all, t)
	}
	return ts
}

func signOnce(ts *tokens, key *rsa.PrivateKey) ([]byte, error) {
	digest := sha256.Sum256([]byte("busta"))
	return sharedKey{ts, key.Public()}.Sign(nil, digest[:], crypto.SHA256)
}

func TestSpareTokenSigns(t *testing.T) {
	key := rsaIdentity(t, 2048).key.(*rsa.PrivateKey)
	gone, locked := errors.New("device removed"), fmt.Errorf("%w: CKR_PIN_LOCKED", ErrPIN)
	for _, c := range []struct {
		name   string
		a, b   workingSession
		used   int64 // afterwards
		asked  int   // how often a was, in three signatures
		failed string
	}{
		{name: "the first works", asked: 3},
		{name: "the first is gone", a: workingSession{err: gone}, used: 1, asked: 1},
		{name: "the first is locked", a: workingSession{err: locked}, used: 1, asked: 1},
		{name: "OP-09: the first flips a bit", a: workingSession{flips: true}, used: 1, asked: 1},
		{name: "the first does not have the key", a: workingSession{err: errNoKey}, asked: 3},
		{name: "both are gone", a: workingSession{err: gone}, b: workingSession{err: gone}, asked: 3, failed: "device removed"},
		{name: "OP-09: both flip a bit", a: workingSession{flips: true}, b: workingSession{flips: true}, asked: 3, failed: "does not verify"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.a.key, c.b.key = key, key
			var log bytes.Buffer
			ts := newTokens(slog.New(slog.NewTextHandler(&log, nil)), &c.a, &c.b)
			for range 3 {
				signature, err := signOnce(ts, key)
				if (err != nil) != (c.failed != "") || err != nil && !strings.Contains(err.Error(), c.failed) {
					t.Errorf("Sign() error = %v, want %q", err, c.failed)
				}
				if err != nil && signature != nil {
					t.Error("a signature together with an error")
				}
			}
			if got := ts.used.Load(); got != c.used || c.a.signs != c.asked {
				t.Errorf("in use: %d, the first asked %d times; want %d and %d", got, c.a.signs, c.used, c.asked)
			}
			if told := strings.Contains(log.String(), "signing goes on with another token"); told != (c.used == 1) {
				t.Errorf("log: %s", log.String())
			}
			if flipped := c.a.flips; flipped != strings.Contains(log.String(), "level=ERROR") {
				t.Errorf("a bit was flipped: %v, log: %s", flipped, log.String())
			}
		})
	}
}

// TestHungTokenIsPassedOver: FP-10, the first signature waits for the token's share of
// the time, those after it for nothing: no place is lost to more hung calls.
func TestHungTokenIsPassedOver(t *testing.T) {
	key := rsaIdentity(t, 2048).key.(*rsa.PrivateKey)
	synctest.Test(t, func(t *testing.T) {
		hung, works := &fakeSession{hang: make(chan struct{})}, &workingSession{key: key}
		ts := &tokens{log: quiet, all: []*token{
			newToken(func() (session, error) { return hung, nil }, 10*time.Second, DefaultSessions, quiet),
			newToken(func() (session, error) { return works, nil }, 10*time.Second, DefaultSessions, quiet),
		}}
		began := time.Now()
		for range 2 * DefaultSessions {
			if _, err := signOnce(ts, key); err != nil {
				t.Errorf("Sign() error = %v", err)
			}
		}
		if took := time.Since(began); took != 10*time.Second {
			t.Errorf("all signatures took %v, want 10s: one was waited for", took)
		}
		if got := len(ts.all[0].calls); got != 1 {
			t.Errorf("%d calls hang, want 1", got)
		}
		close(hung.hang)
	})
}

// TestProbe: a token that does not sign is told once; when it does again, that is
// told, and the first in the list is in use again.
func TestProbe(t *testing.T) {
	key := rsaIdentity(t, 2048).key.(*rsa.PrivateKey)
	a, b := &workingSession{key: key}, &workingSession{key: key}
	var log bytes.Buffer
	ts := newTokens(slog.New(slog.NewTextHandler(&log, nil)), a, b)
	step := func(what string, used int64, silent, again int) {
		t.Helper()
		ts.probe(key.Public())
		if got := ts.used.Load(); got != used {
			t.Errorf("%s: in use is %d, want %d", what, got, used)
		}
		if got := strings.Count(log.String(), "PKCS#11 token does not sign"); got != silent {
			t.Errorf("%s: told %d times that a token does not sign, want %d", what, got, silent)
		}
		if got := strings.Count(log.String(), "PKCS#11 token signs again"); got != again {
			t.Errorf("%s: told %d times that a token signs again, want %d", what, got, again)
		}
	}
	step("both work", 0, 0, 0)
	b.err = errors.New("device removed")
	step("the spare is gone", 0, 1, 0)
	a.err, b.err = errors.New("device removed"), nil
	step("the first is gone, the spare back", 1, 2, 1)
	step("still", 1, 2, 1)
	a.err = nil
	step("both again", 0, 2, 2)
	if a.signs != 5 || b.signs != 5 {
		t.Errorf("%d and %d signatures, want one for each probe", a.signs, b.signs)
	}
}

func TestProbeOfAKeyFile(t *testing.T) {
	i := rsaIdentity(t, 2048)
	signer, err := OpenFile(write(t, "cert.pem", i.certificate), write(t, "key.pem", i.pkcs8(t)), quiet)
	if err != nil {
		t.Fatal(err)
	}
	signer.Probe() // nothing to do, and nothing to fail
	checkSigns(t, signer)
}

// TestSharedTimeout: all tokens together take no longer than one may.
func TestSharedTimeout(t *testing.T) {
	if got := shareOf(0, 1); got != DefaultTimeout {
		t.Errorf("shareOf(0, 1) = %v, want %v", got, DefaultTimeout)
	}
	if got := shareOf(12*time.Second, 3); got != 4*time.Second {
		t.Errorf("shareOf(12s, 3) = %v, want 4s", got)
	}
}
