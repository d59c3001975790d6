package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// leastRounds are done however long they take: a median of fewer says little.
const leastRounds = 3

// measureRounds measures everything in every round, in an order that chance gives:
// what disturbs the machine for a while disturbs all alike.
func (b *bench) measureRounds(ctx context.Context) error {
	end := time.Now().Add(b.mode.limit)
	for round := range b.mode.rounds {
		if round >= leastRounds && time.Now().After(end) {
			return nil
		}
		if err := errors.Join(b.measureKeys(round), b.measureSlowToken(round)); err != nil {
			return err
		}
		var tasks []task
		for _, v := range b.variants {
			for _, sessions := range b.mode.sessions {
				tasks = append(tasks, task{variant: v, sessions: sessions, messages: b.mode.messages[sessions], size: usual})
			}
		}
		samples, err := b.takeAll(ctx, round, tasks)
		b.results.Samples = append(b.results.Samples, samples...)
		if err != nil {
			return err
		}
		b.tell("round %d of at most %d: load average %.1f", round+1, b.mode.rounds, load())
	}
	return nil
}

// takeAll takes samples in an order that chance gives.
func (b *bench) takeAll(ctx context.Context, round int, tasks []task) (samples []sample, err error) {
	rand.Shuffle(len(tasks), func(i, j int) { tasks[i], tasks[j] = tasks[j], tasks[i] })
	for _, t := range tasks {
		if err := context.Cause(ctx); err != nil {
			return samples, err
		}
		s, err := b.take(t)
		if err != nil {
			return samples, err
		}
		s.Round = round
		samples = append(samples, *s)
	}
	return samples, nil
}

// growing are the variants of which the cost by size and recipients is measured.
var growing = []string{plain, openDKIM, certified}

// measureGrowth measures how the cost grows with the size and with the recipients.
func (b *bench) measureGrowth(ctx context.Context) error {
	for round := range b.mode.repeats {
		var tasks []task
		for _, name := range growing {
			v := b.variant(name)
			if v == nil {
				continue
			}
			for _, size := range b.mode.sizes {
				tasks = append(tasks, task{variant: v, sessions: 1, messages: repeats(size), size: size})
			}
			for _, n := range b.mode.recipients {
				tasks = append(tasks, task{variant: v, sessions: 1, messages: repeats(int64(n) * 30_000), size: usual, recipients: n})
			}
		}
		samples, err := b.takeAll(ctx, round, tasks)
		b.results.Growth = append(b.results.Growth, samples...)
		if err != nil {
			return err
		}
	}
	return nil
}

// repeats is how many messages of a size are sent: ten small ones, or one large.
func repeats(size int64) int { return int(max(1, min(10, 20_000_000/size))) }

// measureCrowd sends 20 large messages at once, and sees what memory they take.
func (b *bench) measureCrowd() error {
	v := b.variant(certified)
	if b.mode.crowd == 0 {
		return nil
	}
	if err := forgetPeak(v.pids["pec-milter"]); err != nil {
		return err
	}
	s, err := b.take(task{variant: v, sessions: 20, messages: 20, size: b.mode.crowd})
	if err != nil {
		return err
	}
	peak, err := v.at.PeakMemory()
	b.results.Crowd, b.results.CrowdPeak = s, peak
	return err
}

// measurePeaks notes the most memory that each daemon had so far.
func (b *bench) measurePeaks() error {
	b.results.Peaks = map[string]int64{}
	for _, p := range b.world.Providers {
		peak, err := p.PeakMemory()
		if err != nil {
			return err
		}
		b.results.Peaks[p.Name] = peak
	}
	return nil
}

// profile takes profiles of the daemon while it works: with small messages, and with
// large ones.
func (b *bench) profile(ctx context.Context) error {
	if b.mode.profile == 0 {
		return nil
	}
	v := b.variant(certified)
	if err := b.profileOf(ctx, task{variant: v, sessions: 10, messages: 100, size: usual}, "cpu.pprof"); err != nil {
		return err
	}
	if err := save(daemonClient(v.at), "/debug/pprof/allocs", filepath.Join(b.directory, "allocs.pprof")); err != nil {
		return err
	}
	return b.profileOf(ctx, task{variant: v, sessions: 2, messages: 4, size: 10_000_000}, "cpu-large.pprof")
}

func (b *bench) profileOf(ctx context.Context, t task, file string) error {
	done := make(chan error, 1)
	go func() {
		path := fmt.Sprintf("/debug/pprof/profile?seconds=%d", int(b.mode.profile.Seconds()))
		done <- save(daemonClient(t.variant.at), path, filepath.Join(b.directory, file))
	}()
	for {
		select {
		case err := <-done:
			return err
		case <-ctx.Done():
			return context.Cause(ctx)
		default:
		}
		if _, err := b.take(t); err != nil {
			return err
		}
	}
}

// save keeps what a daemon tells of itself.
func save(client *http.Client, path, into string) error {
	response, err := client.Get("http://pec-milter" + path)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	file, err := os.Create(into)
	if err != nil {
		return err
	}
	_, err = io.Copy(file, response.Body)
	return errors.Join(err, file.Close())
}
