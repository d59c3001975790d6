package hsm

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync/atomic"
	"time"
)

// tokens are those that hold a provider's keys, in the order of the configuration.
// Each has the same keys: whichever signs, the bytes of a notice are the same (RSA).
type tokens struct {
	all  []*token
	log  *slog.Logger
	used atomic.Int64 // the index of the one that is asked first
}

// errWrong means that a token gave a signature that is none.
var errWrong = errors.New("the token's signature does not verify: the device is broken, take it out of service")

// openTokens opens the token of a configuration and its spares. Those that do not
// open now are tried again when they are needed; one must. A PIN that is refused is
// the end, whatever the others do: the operator must hear of it before the next start.
func openTokens(config Token, log *slog.Logger) (*tokens, error) {
	configs := append([]Token{config}, config.Spares...)
	ts := &tokens{log: log}
	var faults []error
	for i, c := range configs {
		// All together take no longer than one may.
		c.Timeout = shareOf(config.Timeout, len(configs))
		t, err := openToken(c, log)
		if errors.Is(err, ErrPIN) || t == nil {
			return nil, errors.Join(err, ts.close())
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", t.name, err))
			t.silent.Store(true)
		} else if len(faults) == i {
			ts.used.Store(int64(i))
		}
		ts.all = append(ts.all, t)
	}
	if len(faults) == len(configs) {
		return nil, errors.Join(faults...)
	}
	for _, err := range faults {
		log.Error("PKCS#11 token does not open, the others sign", "error", err)
	}
	return ts, nil
}

func shareOf(timeout time.Duration, tokens int) time.Duration {
	if timeout == 0 {
		timeout = DefaultTimeout
	}
	return timeout / time.Duration(tokens)
}

// sharedKey is a key that several tokens may have.
type sharedKey struct {
	*tokens
	public crypto.PublicKey
}

// Public is the key of the certificate.
func (k sharedKey) Public() crypto.PublicKey { return k.public }

// Sign signs with the first token that can, and verifies what it gave.
func (k sharedKey) Sign(_ io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	return k.first(func(t *token) ([]byte, error) { return signVerified(tokenKey{t, k.public}, digest, opts) })
}

// signVerified verifies each signature before anybody uses it.
func signVerified(key tokenKey, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	signature, err := key.Sign(nil, digest, opts)
	if err == nil && !verifies(key.public, digest, signature, opts) {
		key.log.Error("signing with a token gave nonsense", "token", key.name, "error", errWrong)
		return nil, errWrong
	}
	return signature, err
}

// verifies tells whether a signature is one: RSA in the padding that opts asks for.
func verifies(public crypto.PublicKey, digest, signature []byte, opts crypto.SignerOpts) bool {
	switch key := public.(type) {
	case *rsa.PublicKey:
		if pss, ok := opts.(*rsa.PSSOptions); ok {
			return rsa.VerifyPSS(key, pss.Hash, digest, signature, pss) == nil
		}
		return rsa.VerifyPKCS1v15(key, opts.HashFunc(), digest, signature) == nil
	case *ecdsa.PublicKey:
		return ecdsa.VerifyASN1(key, digest, signature)
	}
	return false
}

// first asks the tokens one after the other, the one in use first, until one does what
// is asked. That one is in use from then on, unless the others only lack the key.
func (ts *tokens) first(call func(*token) ([]byte, error)) ([]byte, error) {
	used := ts.used.Load()
	var faults []error
	broken := false
	for n := range ts.all {
		i := (int(used) + n) % len(ts.all)
		result, err := call(ts.all[i])
		if err == nil {
			if broken && ts.used.CompareAndSwap(used, int64(i)) {
				ts.log.Warn("signing goes on with another token", "token", ts.all[i].name, "error", errors.Join(faults...))
			}
			return result, nil
		}
		broken = broken || !errors.Is(err, errNoKey)
		faults = append(faults, err)
	}
	return nil, errors.Join(faults...)
}

// find is the key that belongs to a public one; some token that works must have it.
func (ts *tokens) find(public crypto.PublicKey) (crypto.Signer, error) {
	_, err := ts.first(func(t *token) ([]byte, error) { _, err := t.find(public); return nil, err })
	if err != nil {
		return nil, err
	}
	return sharedKey{ts, public}, nil
}

// probe has every token sign, and tells of those that do so no more, or again. The
// first that does is in use from then on.
func (ts *tokens) probe(public crypto.PublicKey) {
	digest := sha256.Sum256([]byte("pec-milter: is the token there?"))
	used := -1
	for i, t := range ts.all {
		_, err := signVerified(tokenKey{t, public}, bytes.Clone(digest[:]), crypto.SHA256)
		if err == nil && used < 0 {
			used = i
		}
		t.tell(err)
	}
	if was := ts.used.Load(); used >= 0 && int64(used) != was && ts.used.CompareAndSwap(was, int64(used)) {
		ts.log.Warn("signing goes on with another token", "token", ts.all[used].name)
	}
}

// tell logs whether a probe found the token silent, when that changes.
func (t *token) tell(err error) {
	switch was := t.silent.Swap(err != nil); {
	case err != nil && !was:
		t.log.Error("PKCS#11 token does not sign", "token", t.name, "error", err)
	case err == nil && was:
		t.log.Info("PKCS#11 token signs again", "token", t.name)
	}
}

// close closes all sessions. A later signature opens them again.
func (ts *tokens) close() error {
	var faults []error
	for _, t := range ts.all {
		faults = append(faults, t.Close())
	}
	return errors.Join(faults...)
}
