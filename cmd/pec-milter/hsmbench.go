package main

import (
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/pec-milter/pec-milter/hsm"
)

type hsmBenchCommand struct {
	Config string        `required:"" type:"path" placeholder:"FILE" help:"The configuration."`
	Time   time.Duration `default:"2s" help:"How long to sign with each number of callers."`
	JSON   bool          `name:"json" help:"Print one JSON object a line."`
}

// benched is what a key did with so many callers at once.
type benched struct {
	Sessions   int     `json:"sessions"`
	Signatures int     `json:"signatures"`
	PerSecond  float64 `json:"per_second"`
	P50        float64 `json:"p50_ms"`
	P99        float64 `json:"p99_ms"`
}

// Run signs with 1, 2, 4 … callers at once, up to what signer.sessions allows, on a
// token or with a key in a file. What a token gives is verified, as the daemon does it.
func (h *hsmBenchCommand) Run(o out) error {
	if h.Time <= 0 {
		return &exit{exitUsage, fmt.Errorf("--time %v: give a positive time", h.Time)}
	}
	c, err := loadConfig(h.Config)
	if err != nil {
		return err
	}
	s := newServices(c, clock(), slog.New(slog.NewTextHandler(os.Stderr, nil)))
	if err := s.openSigner(c); err != nil {
		return err
	}
	defer s.close()
	key, _, err := s.provider.Signer.Current()
	if err != nil {
		return err
	}
	if !h.JSON {
		fmt.Fprintf(o, "%8s  %14s  %8s  %8s\n", "sessions", "signatures/s", "p50 ms", "p99 ms")
	}
	most := c.Signer.Sessions
	if most == 0 {
		most = hsm.DefaultSessions
	}
	for _, callers := range callersUpTo(most) {
		b, err := benchKey(key, callers, h.Time)
		if err != nil {
			return &exit{1, err}
		}
		if err := h.print(o, b); err != nil {
			return err
		}
	}
	return nil
}

func (h *hsmBenchCommand) print(o out, b benched) error {
	if h.JSON {
		return json.NewEncoder(o).Encode(b)
	}
	_, err := fmt.Fprintf(o, "%8d  %14.1f  %8.2f  %8.2f\n", b.Sessions, b.PerSecond, b.P50, b.P99)
	return err
}

// callersUpTo are the powers of two below a number, and the number.
func callersUpTo(most int) (all []int) {
	for n := 1; n < most; n *= 2 {
		all = append(all, n)
	}
	return append(all, most)
}

// benchKey has some callers sign for some time.
func benchKey(key crypto.Signer, callers int, length time.Duration) (benched, error) {
	digest := sha256.Sum256([]byte("pec-milter hsm bench"))
	times, faults := make([][]time.Duration, callers), make([]error, callers)
	now := clock()
	began := now()
	var all sync.WaitGroup
	for i := range callers {
		all.Go(func() {
			for last := began; faults[i] == nil && last.Sub(began) < length; {
				_, faults[i] = key.Sign(rand.Reader, digest[:], crypto.SHA256)
				at := now()
				times[i], last = append(times[i], at.Sub(last)), at
			}
		})
	}
	all.Wait()
	took := now().Sub(began)
	return benchedOf(slices.Concat(times...), took, callers), errors.Join(faults...)
}

func benchedOf(times []time.Duration, took time.Duration, callers int) benched {
	slices.Sort(times)
	at := func(q float64) float64 {
		return float64(times[int(q*float64(len(times)-1))]) / float64(time.Millisecond)
	}
	return benched{
		Sessions: callers, Signatures: len(times), PerSecond: float64(len(times)) / took.Seconds(), P50: at(0.5), P99: at(0.99),
	}
}
