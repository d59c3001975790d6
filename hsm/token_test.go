package hsm

import (
	"bytes"
	"crypto"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// fakeSession answers with its own name, or with err.
type fakeSession struct {
	name   string
	err    error
	hang   chan struct{} // if not nil, Sign waits for it
	closed atomic.Bool
}

func (s *fakeSession) Find(crypto.PublicKey) error { return s.err }

func (s *fakeSession) Sign(crypto.PublicKey, []byte, crypto.SignerOpts) ([]byte, error) {
	if s.hang != nil {
		<-s.hang
	}
	if s.closed.Load() {
		return nil, errors.New("used after Close")
	}
	return []byte(s.name), s.err
}

func (s *fakeSession) Close() error {
	s.closed.Store(true)
	return nil
}

// fakeToken opens these sessions one after the other, an error in place of a
// session that is one.
type fakeToken struct {
	mu    sync.Mutex
	opens int
	next  []any
}

func (f *fakeToken) open() (session, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	next := f.next[min(f.opens, len(f.next)-1)]
	f.opens++
	if err, ok := next.(error); ok {
		return nil, err
	}
	return next.(*fakeSession), nil
}

func newFakeToken(timeout time.Duration, next ...any) (tokenKey, *fakeToken, *bytes.Buffer) {
	fake, log := &fakeToken{next: next}, new(bytes.Buffer)
	return tokenKey{newToken(fake.open, timeout, DefaultSessions, slog.New(slog.NewTextHandler(log, nil))), nil}, fake, log
}

// TestTokenReopens: FP-09; OP-07, a wrong PIN is the end.
func TestTokenReopens(t *testing.T) {
	gone := fmt.Errorf("%w: device removed", errLost)
	busy := errors.New("no room on the device")
	away := errors.New("no such token")
	wrong := fmt.Errorf("%w: CKR_PIN_INCORRECT", ErrPIN)
	cases := []struct {
		name  string
		next  []any
		want  []string // outcome of each signature
		opens int
	}{
		{"good session stays", []any{&fakeSession{name: "A"}}, []string{"A", "A", "A"}, 1},
		{"lost session is opened again", []any{&fakeSession{err: gone}, &fakeSession{name: "B"}}, []string{"B", "B"}, 2},
		{"one retry for each signature", []any{&fakeSession{err: gone}, &fakeSession{err: gone}, &fakeSession{name: "C"}},
			[]string{"device removed", "C"}, 3},
		{"other errors open nothing", []any{&fakeSession{err: busy}}, []string{"no room", "no room"}, 1},
		{"token away and back", []any{&fakeSession{err: gone}, away, away, &fakeSession{name: "D"}},
			[]string{"no such token", "no such token", "D", "D"}, 4},
		{"wrong PIN ends it", []any{&fakeSession{err: gone}, wrong, &fakeSession{name: "never"}},
			[]string{"refused the PIN", "refused the PIN", "refused the PIN"}, 2},
		{"wrong PIN at once", []any{wrong, &fakeSession{name: "never"}}, []string{"refused the PIN", "refused the PIN"}, 1},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			token, fake, _ := newFakeToken(time.Minute, c.next...)
			_, started := token.start()
			if _, refuses := c.next[0].(error); refuses != (started != nil) {
				t.Fatalf("start() error = %v", started)
			}
			for i, want := range c.want {
				signature, err := token.Sign(nil, []byte("digest"), crypto.SHA256)
				if got := fmt.Sprint(string(signature), err); !strings.Contains(got, want) {
					t.Errorf("signature %d = %q, want %q", i+1, got, want)
				}
			}
			if fake.opens != c.opens {
				t.Errorf("token was opened %d times, want %d", fake.opens, c.opens)
			}
		})
	}
}

func TestTokenPINErrorIsTheSame(t *testing.T) {
	wrong := fmt.Errorf("%w: CKR_PIN_INCORRECT", ErrPIN)
	token, _, log := newFakeToken(time.Minute, wrong)
	_, first := token.Sign(nil, nil, crypto.SHA256)
	_, second := token.Sign(nil, nil, crypto.SHA256)
	if !errors.Is(first, ErrPIN) || first != second {
		t.Errorf("errors = %v, then %v, want the same ErrPIN", first, second)
	}
	if got := strings.Count(log.String(), "level=ERROR"); got != 1 {
		t.Errorf("log has %d errors, want 1: %s", got, log)
	}
}

func TestTokenConcurrentLossOpensOnce(t *testing.T) {
	gone := fmt.Errorf("%w: device removed", errLost)
	first, second := &fakeSession{err: gone, hang: make(chan struct{})}, &fakeSession{name: "B"}
	token, fake, _ := newFakeToken(time.Minute, first, second)
	if _, err := token.start(); err != nil {
		t.Fatal(err)
	}
	var waiting sync.WaitGroup
	for range DefaultSessions {
		waiting.Go(func() {
			if signature, err := token.Sign(nil, nil, crypto.SHA256); string(signature) != "B" || err != nil {
				t.Errorf("Sign() = %q, %v, want B", signature, err)
			}
		})
	}
	close(first.hang)
	waiting.Wait()
	if fake.opens != 2 || !first.closed.Load() {
		t.Errorf("token was opened %d times, first session closed: %v; want 2 and true", fake.opens, first.closed.Load())
	}
}

// TestTokenHangs: FP-10.
func TestTokenHangs(t *testing.T) {
	hung := &fakeSession{name: "A", hang: make(chan struct{})}
	token, fake, _ := newFakeToken(50*time.Millisecond, hung)
	for range DefaultSessions {
		_, err := token.Sign(nil, nil, crypto.SHA256)
		if err == nil || !strings.Contains(err.Error(), "has not answered within 50ms") {
			t.Fatalf("Sign() on a hung token: error = %v", err)
		}
	}
	_, err := token.Sign(nil, nil, crypto.SHA256)
	if err == nil || !strings.Contains(err.Error(), "is stuck") {
		t.Errorf("Sign() with all calls hung: error = %v, want one that says stuck", err)
	}
	token.timeout = time.Minute
	close(hung.hang)
	if signature, err := token.Sign(nil, nil, crypto.SHA256); string(signature) != "A" || err != nil {
		t.Errorf("Sign() after the hang = %q, %v, want A", signature, err)
	}
	if fake.opens != 1 {
		t.Errorf("token was opened %d times, want 1", fake.opens)
	}
}

func TestTokenCloses(t *testing.T) {
	first := &fakeSession{name: "A"}
	token, _, _ := newFakeToken(time.Minute, first, &fakeSession{name: "B"})
	if err := token.Close(); err != nil {
		t.Errorf("Close() before the first session: %v", err)
	}
	if _, err := token.start(); err != nil {
		t.Fatal(err)
	}
	if err := token.Close(); err != nil || !first.closed.Load() {
		t.Errorf("Close() = %v, session closed: %v, want nil and true", err, first.closed.Load())
	}
}
