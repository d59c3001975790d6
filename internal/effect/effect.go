// Package effect puts an interceptor around every effect of a provider's doors:
// one that measures, or one that makes a test's world fail.
//
// It does nothing by itself.
package effect

import (
	"context"
	"crypto"
	"crypto/x509"
	"io"
	"time"

	"github.com/pec-milter/pec-milter/internal/point"
	"github.com/pec-milter/pec-milter/pec"
)

// Effect names one method of the interfaces by which package point reaches the
// world.
type Effect string

// All are all effects, in the order of their constants.
func All() []Effect {
	return []Effect{
		Directory, Scan, Quarantine, Key, Sign, Inject, Store, Lease, Release,
		LogAppend, LogLogged, LogFailed, LogEnded, LatestIntent, Submission, Intent, AddIntent, MarkSent, MarkCommitted,
		PutVerdict, Verdict, BeginDelivery, PutOutcome, Outcome, Waits, DecideFirst, DecideLast, Over,
	}
}

// The effects, but for those of Records, which are in records.go.
const (
	Directory  Effect = "directory"
	Scan       Effect = "scan"
	Quarantine Effect = "quarantine"
	Key        Effect = "key"
	Sign       Effect = "sign"
	Inject     Effect = "inject"
	Store      Effect = "store"
	Lease      Effect = "lease"
	Release    Effect = "release"
	LogAppend  Effect = "log-append"
	LogLogged  Effect = "log-logged"
	LogFailed  Effect = "log-failed"
	LogEnded   Effect = "log-ended"
)

// Interceptor stands around every effect. It calls do for the effect itself, or
// leaves it out, and answers in its place.
type Interceptor interface {
	Around(ctx context.Context, e Effect, do func() (any, error)) (any, error)
}

// Wrap puts i around the effects of p, whose doors have not been opened yet.
func Wrap(p *point.Provider, i Interceptor) {
	p.Trust = trust{p.Trust, i}
	p.Signer = signer{p.Signer, i}
	p.Injector = injector{p.Injector, i}
	p.Store = mailStore{p.Store, i}
	p.State = state{p.State, i}
	p.Log = legalLog{p.Log, i}
	p.Records = records{p.Records, i}
	if p.Scanner != nil {
		p.Scanner = scanner{p.Scanner, i}
		p.Quarantine = quarantine{p.Quarantine, i}
	}
}

// around is Interceptor.Around for an effect that gives a T.
func around[T any](ctx context.Context, i Interceptor, e Effect, do func() (T, error)) (T, error) {
	v, err := i.Around(ctx, e, func() (any, error) { return do() })
	t, _ := v.(T) // the zero value if the interceptor gave none
	return t, err
}

// try is around for an effect that gives an error alone.
func try(ctx context.Context, i Interceptor, e Effect, do func() error) error {
	_, err := i.Around(ctx, e, func() (any, error) { return nil, do() })
	return err
}

type trust struct {
	point.Trust
	i Interceptor
}

func (t trust) Current() (*pec.Trust, error) {
	return around(context.Background(), t.i, Directory, func() (*pec.Trust, error) { return t.Trust.Current() })
}

type scanner struct {
	point.Scanner
	i Interceptor
}

func (s scanner) Scan(ctx context.Context, message io.WriterTo) (point.Finding, error) {
	return around(ctx, s.i, Scan, func() (point.Finding, error) { return s.Scanner.Scan(ctx, message) })
}

type quarantine struct {
	point.Quarantine
	i Interceptor
}

func (q quarantine) Put(ctx context.Context, item point.Infected, message io.WriterTo) error {
	return try(ctx, q.i, Quarantine, func() error { return q.Quarantine.Put(ctx, item, message) })
}

type signer struct {
	point.Signer
	i Interceptor
}

// credential is what Signer.Current gives.
type credential struct {
	key   crypto.Signer
	chain []*x509.Certificate
}

func (s signer) Current() (crypto.Signer, []*x509.Certificate, error) {
	c, err := around(context.Background(), s.i, Key, func() (credential, error) {
		key, chain, err := s.Signer.Current()
		return credential{key, chain}, err
	})
	if err != nil {
		return nil, nil, err
	}
	return signingKey{c.key, s.i}, c.chain, nil
}

func (s signer) Earlier() (wrapped []point.Credential) {
	for _, c := range s.Signer.Earlier() {
		wrapped = append(wrapped, point.Credential{Key: signingKey{c.Key, s.i}, Chain: c.Chain})
	}
	return wrapped
}

type signingKey struct {
	crypto.Signer
	i Interceptor
}

func (k signingKey) Sign(rand io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	return around(context.Background(), k.i, Sign, func() ([]byte, error) { return k.Signer.Sign(rand, digest, opts) })
}

type injector struct {
	point.Injector
	i Interceptor
}

func (j injector) Inject(ctx context.Context, reversePath, recipient string, message io.WriterTo) error {
	return try(ctx, j.i, Inject, func() error { return j.Injector.Inject(ctx, reversePath, recipient, message) })
}

type mailStore struct {
	point.MailStore
	i Interceptor
}

func (s mailStore) Store(ctx context.Context, reversePath, recipient string, message io.WriterTo) (string, error) {
	return around(ctx, s.i, Store, func() (string, error) { return s.MailStore.Store(ctx, reversePath, recipient, message) })
}

type state struct {
	point.State
	i Interceptor
}

// lease is what State.Lease gives.
type lease struct {
	release func()
	ok      bool
}

// Granted tells an interceptor whether there is a lease.
func (l lease) Granted() bool { return l.ok }

func (s state) Lease(ctx context.Context, key point.Key, ttl time.Duration) (func(), bool, error) {
	l, err := around(ctx, s.i, Lease, func() (lease, error) {
		release, ok, err := s.State.Lease(ctx, key, ttl)
		return lease{release, ok}, err
	})
	if err != nil || !l.ok {
		return nil, false, err
	}
	return s.released(l.release), true, nil
}

// released is the release of a lease as an effect of its own: where it fails,
// the lease runs out by its time.
func (s state) released(release func()) func() {
	return func() {
		_, _ = s.i.Around(context.Background(), Release, func() (any, error) {
			release()
			return nil, nil
		})
	}
}

type legalLog struct {
	point.Log
	i Interceptor
}

func (l legalLog) Append(ctx context.Context, events ...point.Event) error {
	return try(ctx, l.i, LogAppend, func() error { return l.Log.Append(ctx, events...) })
}

func (l legalLog) Logged(ctx context.Context, kind point.EventKind, noticeID string) (bool, error) {
	return around(ctx, l.i, LogLogged, func() (bool, error) { return l.Log.Logged(ctx, kind, noticeID) })
}

func (l legalLog) Failed(ctx context.Context, id string) (bool, error) {
	return around(ctx, l.i, LogFailed, func() (bool, error) { return l.Log.Failed(ctx, id) })
}

func (l legalLog) Ended(ctx context.Context, queueID, messageID, recipient string) (bool, error) {
	return around(ctx, l.i, LogEnded, func() (bool, error) { return l.Log.Ended(ctx, queueID, messageID, recipient) })
}
