//go:build measured

package main

import (
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

// serveMeasurements counts the calls of the signing key. Without a word in the environment
// nothing is different.
func serveMeasurements(p *point.Provider) error {
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
