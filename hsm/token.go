package hsm

import (
	"bytes"
	"cmp"
	"crypto"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// Token says which key of which PKCS#11 token signs. Exactly one of Label,
// Serial and Slot chooses the token; KeyLabel, KeyID or both choose the key.
type Token struct {
	Module   string // path of the vendor's library
	Label    string
	Serial   string
	Slot     *int // slot number, as the module counts
	KeyLabel string
	KeyID    []byte // CKA_ID
	PINFile  string // empty: the token wants no login
	// Sessions is how many signatures the token makes at once, at most; zero is
	// DefaultSessions. A token that allows fewer sessions gets fewer: one of those
	// that it allows keeps the login.
	Sessions int
	// Timeout is how long one signature may take, with opening the token again
	// where that is needed; zero is DefaultTimeout.
	Timeout time.Duration
	// Spares are tokens that have the same keys. They sign while this one does not:
	// each has its share of Timeout, and their own says nothing.
	Spares []Token
}

// name is how the log calls a token.
func (t Token) name() string {
	if t.Slot != nil {
		return fmt.Sprintf("slot %d of %s", *t.Slot, t.Module)
	}
	return fmt.Sprintf("%s of %s", cmp.Or(t.Label, t.Serial), t.Module)
}

// DefaultTimeout is how long a signature may take where nothing is said.
const DefaultTimeout = 20 * time.Second

// ErrPIN means that the token refused the PIN. It was tried once and is never
// tried again by this process: a few wrong ones lock the token. Who starts the
// process must not start it again by itself.
var ErrPIN = errors.New("the token refused the PIN; it is not tried again, " +
	"for a few wrong ones lock the token: correct the PIN file, then restart")

// errNoKey marks that a token is well, but does not have a key.
var errNoKey = errors.New("the token does not have the key")

// errLost marks errors of a session that opening the token again may cure.
var errLost = errors.New("session with the token lost")

// DefaultSessions is how many signatures a token makes at once where nothing is
// said.
const DefaultSessions = 16

// OpenToken opens a key on a PKCS#11 token; the certificates come from a file
// as for OpenFile. Of the keys that have the label or id, those are taken that
// belong to the certificates.
//
// A session that is lost later is opened again, once for each signature. Then the
// spares are asked, and the one that signs goes on doing so. A signature that takes
// longer than the timeout, or does not verify, is an error. All errors of the
// key but ErrPIN are temporary. log gets what happens to the tokens.
func OpenToken(certificateFile string, config Token, log *slog.Logger) (*Signer, error) {
	if _, err := readFile(certificateFile); err != nil {
		return nil, err // before the PIN is tried
	}
	tokens, err := openTokens(config, log)
	if err != nil {
		return nil, err
	}
	return openSigner(&source{
		certificateFile: certificateFile, find: tokens.find, probe: tokens.probe, use: tokens.use, log: log, close: tokens.close,
	})
}

// openToken opens a session. If that fails for a reason that may go away, there is
// a token together with the error: it tries again when it is asked to sign.
func openToken(config Token, log *slog.Logger) (*token, error) {
	var pin PIN
	var err error
	if config.PINFile != "" {
		if pin, err = ReadPIN(config.PINFile); err != nil {
			return nil, err
		}
	}
	config.Timeout = cmp.Or(config.Timeout, DefaultTimeout)
	config.Sessions = cmp.Or(config.Sessions, DefaultSessions)
	t := newToken(func() (session, error) { return openPKCS11(config, pin) }, config.Timeout, config.Sessions, log)
	t.name = config.name()
	_, err = t.within(t.start)
	return t, err
}

// session is an open token. An error is an errLost if another session may do
// better.
type session interface {
	// Find tells whether the token has the key that belongs to a public one.
	Find(public crypto.PublicKey) error
	Sign(public crypto.PublicKey, digest []byte, opts crypto.SignerOpts) ([]byte, error)
	Close() error
}

// token opens its session again when it is lost. One session serves all keys: the
// module is not loaded anew, and the PIN not tried again, while another one lives.
type token struct {
	name    string
	open    func() (session, error)
	timeout time.Duration
	log     *slog.Logger
	calls   chan struct{} // holds one element for each call under way, hung ones included
	silent  atomic.Bool   // the last probe found that it does not sign
	counts  counts

	// opening is held by the one call that opens, before mu. Who finds that it was
	// done since needs no mu for writing, which a signature that hangs would deny.
	opening sync.Mutex

	// mu is held for reading while signing, for writing while opening: a
	// session is never closed under a signature.
	mu      sync.RWMutex
	session session // nil: not open
	refused error   // an ErrPIN: the token must not be asked again
}

func newToken(open func() (session, error), timeout time.Duration, sessions int, log *slog.Logger) *token {
	return &token{open: open, timeout: timeout, log: log, calls: make(chan struct{}, sessions)}
}

// tokenKey is one key of a token.
type tokenKey struct {
	*token
	public crypto.PublicKey
}

// Public is the key of the certificate.
func (k tokenKey) Public() crypto.PublicKey { return k.public }

// Sign signs a digest; it asks the token for randomness, not its first argument.
func (k tokenKey) Sign(_ io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	digest = bytes.Clone(digest) // a call that hangs outlives this one
	return k.within(func() ([]byte, error) {
		return k.use(func(s session) ([]byte, error) { return s.Sign(k.public, digest, opts) })
	})
}

// find is the key that belongs to a public one.
func (t *token) find(public crypto.PublicKey) (crypto.Signer, error) {
	_, err := t.within(func() ([]byte, error) {
		return t.use(func(s session) ([]byte, error) { return nil, s.Find(public) })
	})
	if err != nil {
		return nil, err
	}
	return tokenKey{t, public}, nil
}

// Close closes the session. A later signature opens it again.
func (t *token) Close() error {
	_, err := t.within(func() ([]byte, error) {
		t.mu.Lock()
		defer t.mu.Unlock()
		return nil, t.drop()
	})
	return err
}

// within runs a call on the token, and leaves it to itself when the time is
// over: a call into a vendor's library cannot be stopped. It keeps its place
// among the calls until it returns, so that hung calls do not heap up.
func (t *token) within(call func() ([]byte, error)) ([]byte, error) {
	type result struct {
		signature []byte
		err       error
	}
	timer := time.NewTimer(t.timeout)
	defer timer.Stop()
	if !t.enter(timer.C) {
		return nil, fmt.Errorf("PKCS#11 token is stuck: %d calls have not returned within %v", cap(t.calls), t.timeout)
	}
	done := make(chan result, 1)
	go func() {
		defer func() { <-t.calls }()
		signature, err := call()
		done <- result{signature, err}
	}()
	select {
	case r := <-done:
		return r.signature, r.err
	case <-timer.C:
		return nil, fmt.Errorf("PKCS#11 token has not answered within %v", t.timeout)
	}
}

// enter takes a place among the calls, unless the time is over before there is one.
func (t *token) enter(over <-chan time.Time) bool {
	t.counts.waiting.Add(1)
	defer t.counts.waiting.Add(-1)
	select {
	case t.calls <- struct{}{}:
		return true
	case <-over:
		return false
	}
}

func (t *token) start() ([]byte, error) { return nil, t.reopen(nil) }

// use uses the session, and once more a new one if the first was lost.
func (t *token) use(call func(session) ([]byte, error)) ([]byte, error) {
	result, used, err := t.try(call)
	if !errors.Is(err, errLost) {
		return result, err
	}
	t.log.Warn("opening the PKCS#11 token again", "error", err)
	if err := t.reopen(used); err != nil {
		return nil, err
	}
	result, _, err = t.try(call)
	return result, err
}

// try uses the session at hand and tells which it was.
func (t *token) try(call func(session) ([]byte, error)) ([]byte, session, error) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	switch {
	case t.refused != nil:
		return nil, nil, t.refused
	case t.session == nil:
		return nil, nil, errLost
	}
	result, err := call(t.session)
	return result, t.session, err
}

// reopen replaces a lost session (nil: none was open), unless that was done
// since.
func (t *token) reopen(lost session) error {
	t.opening.Lock()
	defer t.opening.Unlock()
	if now, refused := t.current(); refused != nil || now != lost {
		return refused
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if lost != nil {
		t.counts.lost.Add(1)
	}
	if err := t.drop(); err != nil {
		t.log.Warn("closing the PKCS#11 token", "error", err)
	}
	opened, err := t.open()
	if errors.Is(err, ErrPIN) {
		t.log.Error("signing stops", "error", err)
		t.refused = err
	}
	if err != nil {
		return err
	}
	t.session = opened
	t.counts.open.Store(true)
	return nil
}

// current is the session at hand, nil if there is none, and why there never will be.
func (t *token) current() (session, error) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.session, t.refused
}

// drop closes the session, if one is open.
func (t *token) drop() error {
	if t.session == nil {
		return nil
	}
	err := t.session.Close()
	t.session = nil
	t.counts.open.Store(false)
	return err
}
