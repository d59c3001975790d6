package hsm

import (
	"crypto"
	"fmt"
	"io"
	"log/slog"
	"reflect"
	"testing"
	"testing/synctest"
	"time"
)

// TestTokenUse: what is in use, waits and was lost is told while calls hang.
func TestTokenUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hung := &fakeSession{name: "A", hang: make(chan struct{})}
		gone := fmt.Errorf("%w: device removed", errLost)
		first := &fakeSession{err: gone}
		fake := &fakeToken{next: []any{first, hung, &fakeSession{err: gone}, fmt.Errorf("no such token")}}
		one := newToken(fake.open, time.Minute, 2, slog.New(slog.NewTextHandler(io.Discard, nil)))
		one.name = "pec of a.so"
		signer := &Signer{source: &source{use: (&tokens{all: []*token{one}}).use}}
		want := func(when string, want TokenUse) {
			t.Helper()
			synctest.Wait()
			want.Name, want.Signs, want.Sessions = one.name, true, 2
			if got := signer.Tokens(); !reflect.DeepEqual(got, []TokenUse{want}) {
				t.Errorf("%s: Tokens() = %+v, want %+v", when, got, want)
			}
		}
		sign := func() { tokenKey{one, nil}.Sign(nil, nil, crypto.SHA256) }
		want("before the start", TokenUse{})
		one.within(one.start)
		want("at the start", TokenUse{Open: true})
		for range 3 {
			go sign()
		}
		want("after a loss, with three calls", TokenUse{Open: true, InUse: 2, Waiting: 1, Lost: 1})
		one.reopen(first) // was done: it must not wait for those that hang
		close(hung.hang)
		want("when they are done", TokenUse{Open: true, Lost: 1})
		one.reopen(hung)
		sign()
		want("away", TokenUse{Lost: 3})
		sign()
		want("still away", TokenUse{Lost: 3})
	})
	if got := new(Signer).Tokens(); got != nil {
		t.Errorf("Tokens() without a token = %v, want none", got)
	}
}
