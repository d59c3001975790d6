//go:build measured

package main

import (
	"context"
	"crypto"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	_ "net/http/pprof" // on the default multiplexer, which only we serve
	"os"
	"sync/atomic"
	"time"

	"github.com/pec-milter/pec-milter/internal/point"
)

// measureSocket is the environment variable that names the unix socket on which a
// daemon tells of itself, by HTTP: /signatures, and the profiles of
// net/http/pprof.
//
// This exists in builds for measurements only: whoever reaches the socket can
// stop the daemon's work.
const measureSocket = "PEC_MEASURE_SOCKET"

// measureUnlogged is the environment variable that, if it is not empty, leaves the rows
// of the legal log out: what they cost is the difference.
const measureUnlogged = "PEC_MEASURE_UNLOGGED"

// serveMeasurements counts the calls of the signing key. Without a word in the environment
// nothing is different.
func serveMeasurements(p *point.Provider) error {
	if os.Getenv(measureUnlogged) != "" {
		p.Log, p.Records = unlogged{p.Log}, unloggedRecords{p.Records}
	}
	path := os.Getenv(measureSocket)
	if path == "" {
		return nil
	}
	if err := os.RemoveAll(path); err != nil {
		return err
	}
	listener, err := net.Listen("unix", path)
	if err != nil {
		return fmt.Errorf("%s: %w", measureSocket, err)
	}
	counted := &countedSigner{Signer: p.Signer}
	p.Signer = counted
	http.Handle("/signatures", counted)
	go http.Serve(listener, nil) // until the daemon ends
	return nil
}

// countedSigner counts the signatures of a signer's keys, and their time.
type countedSigner struct {
	point.Signer
	calls, nanoseconds atomic.Int64
}

// Current is point.Signer's.
func (c *countedSigner) Current() (crypto.Signer, []*x509.Certificate, error) {
	key, chain, err := c.Signer.Current()
	if err != nil {
		return nil, nil, err
	}
	return countedKey{key, c}, chain, nil
}

// ServeHTTP gives the counts as JSON.
func (c *countedSigner) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	_ = json.NewEncoder(w).Encode(map[string]int64{"calls": c.calls.Load(), "nanoseconds": c.nanoseconds.Load()})
}

type countedKey struct {
	crypto.Signer
	count *countedSigner
}

// Sign is crypto.Signer's.
func (k countedKey) Sign(random io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	began := time.Now()
	defer func() {
		k.count.calls.Add(1)
		k.count.nanoseconds.Add(int64(time.Since(began)))
	}()
	return k.Signer.Sign(random, digest, opts)
}

// unlogged is a legal log without rows: nothing tells that a notice was issued.
type unlogged struct{ point.Log }

// Append is point.Log's.
func (unlogged) Append(context.Context, ...point.Event) error { return nil }

// Logged is point.Log's.
func (unlogged) Logged(context.Context, point.EventKind, string) (bool, error) { return false, nil }

// unloggedRecords are records whose steps have no rows.
type unloggedRecords struct{ point.Records }

// AddIntent is point.Records'.
func (r unloggedRecords) AddIntent(ctx context.Context, intent, last *point.Intent, _ ...point.Event) error {
	return r.Records.AddIntent(ctx, intent, last)
}

// PutVerdict is point.Records'.
func (r unloggedRecords) PutVerdict(ctx context.Context, verdict point.Judgement, _ ...point.Event) error {
	return r.Records.PutVerdict(ctx, verdict)
}

// BeginDelivery is point.Records'.
func (r unloggedRecords) BeginDelivery(ctx context.Context, key point.Key, _ ...point.Event) (bool, error) {
	return r.Records.BeginDelivery(ctx, key)
}

// PutOutcome is point.Records'.
func (r unloggedRecords) PutOutcome(ctx context.Context, key point.Key, outcome point.Outcome, settled point.Settlement, _ ...point.Event) (point.Outcome, error) {
	return r.Records.PutOutcome(ctx, key, outcome, settled)
}
