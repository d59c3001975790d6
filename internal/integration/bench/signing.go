package main

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/pec-milter/pec-milter/hsm"
)

// keySource is a key that a provider signs with.
type keySource struct {
	name   string
	signer *hsm.Signer
}

// signing is the cost of one signature, measured beside the messages of a round.
type signing struct {
	Round int    `json:"round"`
	Key   string `json:"key"`
	// Milliseconds by the clock on one core: all cores sign at once, as they do under load.
	Milliseconds float64 `json:"ms"`
	// CPU are milliseconds of CPU time: what is waited for a busy machine is not in it.
	CPU        float64 `json:"cpu_ms"`
	Signatures int     `json:"signatures"`
	Seconds    float64 `json:"seconds"` // that they took
	Load       float64 `json:"load"`
}

// openKeys opens the keys of the providers that are there.
func (b *bench) openKeys() error {
	for _, k := range []struct{ provider, name string }{{local, keyFile}, {token, softHSM}} {
		p := b.world.Provider(k.provider)
		if p == nil {
			continue
		}
		signer, err := p.OpenSigner()
		if err != nil {
			return fmt.Errorf("%s: %w", k.name, err)
		}
		b.keys = append(b.keys, keySource{k.name, signer})
	}
	return nil
}

// The names of the key sources.
const (
	keyFile   = "key file"
	softHSM   = "SoftHSM"
	slowToken = "SoftHSM, slow"
)

// slowSignature is how long the slow token takes.
const slowSignature = 10 * time.Millisecond

// measureSlowToken has pec-milter measure the token: with as many callers at once as
// serve it best.
func (b *bench) measureSlowToken(round int) error {
	p := b.world.Provider(slow)
	if p == nil {
		return nil
	}
	out, err := p.Command("hsm", "bench", "--json", "--time", b.mode.signing.String(), "--config", p.ConfigFile())
	if err != nil {
		return err
	}
	best, err := bestOf(out)
	if err != nil {
		return err
	}
	best.Round, best.Key, best.Load = round, slowToken, load()
	b.results.Signings = append(b.results.Signings, best)
	return nil
}

// bestOf is the fastest line that "pec-milter hsm bench --json" prints.
func bestOf(lines []byte) (best signing, err error) {
	rate := 0.0
	for decoder := json.NewDecoder(bytes.NewReader(lines)); decoder.More(); {
		var line struct {
			Signatures int     `json:"signatures"`
			PerSecond  float64 `json:"per_second"`
		}
		if err := decoder.Decode(&line); err != nil {
			return best, err
		}
		if line.PerSecond > rate {
			rate, best = line.PerSecond, signing{Signatures: line.Signatures, Seconds: float64(line.Signatures) / line.PerSecond}
		}
	}
	if rate == 0 {
		return best, fmt.Errorf("no signature measured: %q", lines)
	}
	return best, nil
}

// measureKeys measures each key for some time.
func (b *bench) measureKeys(round int) error {
	for _, k := range b.keys {
		key, _, err := k.signer.Current()
		if err != nil {
			return err
		}
		busy := ownTime()
		count, took, err := signFor(key, b.mode.signing)
		if err != nil {
			return fmt.Errorf("%s: %w", k.name, err)
		}
		b.results.Signings = append(b.results.Signings, signing{
			Round: round, Key: k.name, Signatures: count, Seconds: took.Seconds(), Load: load(),
			Milliseconds: milliseconds(took) * float64(runtime.NumCPU()) / float64(count),
			CPU:          milliseconds(ownTime()-busy) / float64(count),
		})
	}
	return nil
}

// ownTime is the CPU time of this process.
func ownTime() time.Duration {
	var used syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &used) // fails for a wrong first argument only
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// signFor signs on all cores.
func signFor(key crypto.Signer, length time.Duration) (count int, took time.Duration, err error) {
	digest := sha256.Sum256([]byte("measured"))
	var calls atomic.Int64
	var all sync.WaitGroup
	failed := make(chan error, runtime.NumCPU())
	began := time.Now()
	for range runtime.NumCPU() {
		all.Go(func() {
			for time.Since(began) < length {
				if _, err := key.Sign(rand.Reader, digest[:], crypto.SHA256); err != nil {
					failed <- err
					return
				}
				calls.Add(1)
			}
		})
	}
	all.Wait()
	took = time.Since(began)
	select {
	case err = <-failed:
	default:
	}
	return int(calls.Load()), took, err
}
