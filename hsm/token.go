package hsm

import (
	"bytes"
	"crypto"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
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
	// Timeout is how long one signature may take, with opening the token again
	// where that is needed; zero is 20 s.
	Timeout time.Duration
}

// DefaultTimeout is how long a signature may take where nothing is said.
const DefaultTimeout = 20 * time.Second

// ErrPIN means that the token refused the PIN. It was tried once and is never
// tried again by this process: a few wrong ones lock the token. Who starts the
// process must not start it again by itself.
var ErrPIN = errors.New("the token refused the PIN; it is not tried again, " +
	"for a few wrong ones lock the token: correct the PIN file, then restart")

// errLost marks errors of a session that opening the token again may cure.
var errLost = errors.New("session with the token lost")

// maxCalls bounds the calls on a token under way, hung ones included.
const maxCalls = 16

// OpenToken opens a key on a PKCS#11 token; the certificates come from a file
// as for OpenFile. If several keys of the token have the label or id, the one
// that belongs to the signing certificate is taken.
//
// A session that is lost later is opened again, once for each signature;
// a signature that takes longer than the token's timeout is an error. All errors of the
// key but ErrPIN are temporary. log gets what happens to the token.
func OpenToken(certificateFile string, config Token, log *slog.Logger) (*Signer, error) {
	chain, err := readChain(certificateFile)
	if err != nil {
		return nil, err
	}
	var pin PIN
	if config.PINFile != "" {
		if pin, err = ReadPIN(config.PINFile); err != nil {
			return nil, err
		}
	}
	if config.Timeout == 0 {
		config.Timeout = DefaultTimeout
	}
	public := chain[0].PublicKey
	open := func() (session, error) { return openPKCS11(config, pin, public) }
	key := newToken(open, public, config.Timeout, log)
	if _, err := key.within(key.start); err != nil {
		return nil, err
	}
	return &Signer{key: key, chain: chain, close: key.Close}, nil
}

// session is an open token with its key.
type session interface {
	// Sign's error is an errLost if another session may do better.
	Sign(rand io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error)
	Close() error
}

// token is a key that opens its token again when the session is lost.
type token struct {
	open    func() (session, error)
	public  crypto.PublicKey
	timeout time.Duration
	log     *slog.Logger
	calls   chan struct{} // holds one element for each call under way

	// mu is held for reading while signing, for writing while opening: a
	// session is never closed under a signature.
	mu      sync.RWMutex
	session session // nil: not open
	refused error   // an ErrPIN: the token must not be asked again
}

func newToken(open func() (session, error), public crypto.PublicKey, timeout time.Duration, log *slog.Logger) *token {
	return &token{open: open, public: public, timeout: timeout, log: log, calls: make(chan struct{}, maxCalls)}
}

// Public is the key of the signing certificate.
func (t *token) Public() crypto.PublicKey { return t.public }

// Sign signs a digest; it asks the token for randomness, not its first argument.
func (t *token) Sign(_ io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	digest = bytes.Clone(digest) // a call that hangs outlives this one
	return t.within(func() ([]byte, error) { return t.sign(digest, opts) })
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
	select {
	case t.calls <- struct{}{}:
	case <-timer.C:
		return nil, fmt.Errorf("PKCS#11 token is stuck: %d calls have not returned within %v", maxCalls, t.timeout)
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

func (t *token) start() ([]byte, error) { return nil, t.reopen(nil) }

// sign signs, and once more on a new session if the first was lost.
func (t *token) sign(digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	signature, used, err := t.try(digest, opts)
	if !errors.Is(err, errLost) {
		return signature, err
	}
	t.log.Warn("opening the PKCS#11 token again", "error", err)
	if err := t.reopen(used); err != nil {
		return nil, err
	}
	signature, _, err = t.try(digest, opts)
	return signature, err
}

// try signs with the session at hand and tells which it was.
func (t *token) try(digest []byte, opts crypto.SignerOpts) ([]byte, session, error) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	switch {
	case t.refused != nil:
		return nil, nil, t.refused
	case t.session == nil:
		return nil, nil, errLost
	}
	signature, err := t.session.Sign(nil, digest, opts)
	if err != nil {
		err = fmt.Errorf("signing with the PKCS#11 token: %w", err)
	}
	return signature, t.session, err
}

// reopen replaces a lost session (nil: none was open), unless that was done
// since.
func (t *token) reopen(lost session) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.refused != nil {
		return t.refused
	}
	if t.session != lost {
		return nil
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
	return nil
}

// drop closes the session, if one is open.
func (t *token) drop() error {
	if t.session == nil {
		return nil
	}
	err := t.session.Close()
	t.session = nil
	return err
}
