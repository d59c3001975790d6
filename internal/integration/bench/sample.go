package main

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// sample is what one variant did with some messages in one round.
type sample struct {
	Round      int                `json:"round"`
	Variant    string             `json:"variant"`
	Sessions   int                `json:"sessions"`
	Size       int64              `json:"size_bytes"`
	Recipients int                `json:"recipients"`
	Messages   int                `json:"messages"`
	Seconds    float64            `json:"seconds"`           // until the sink had everything
	Accepts    []float64          `json:"accept_ms"`         // MAIL to the answer to the message, each
	CPU        map[string]float64 `json:"cpu_ms_by_process"` // for each message
	Passes     float64            `json:"queue_passes"`      // for each message, from Postfix's log
	Signatures float64            `json:"signatures"`        // for each message, from the daemons
	Load       float64            `json:"load"`              // load average of the machine at the end
}

// rate is messages per second.
func (s *sample) rate() float64 { return float64(s.Messages) / s.Seconds }

// task says what to send.
type task struct {
	*variant
	sessions, messages int
	size               int64
	recipients         int // 0: one
}

// patience is how long the sink waits for what is due.
const patience = 5 * time.Minute

// take sends what the task says and measures.
func (b *bench) take(t task) (*sample, error) {
	logs, err := t.logEnds()
	if err != nil {
		return nil, err
	}
	signed, err := t.signatures()
	if err != nil {
		return nil, err
	}
	before, err := measureUsage(t.pids)
	if err != nil {
		return nil, err
	}
	letter, due := t.letter(&b.letters)
	due += b.sink.count()
	began, times, err := submit(t.port, t.sessions, t.messages, letter, t.at.TLS())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", t.name, err)
	}
	last, err := b.sink.wait(due, patience)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", t.name, err)
	}
	s := &sample{
		Variant: t.name, Sessions: t.sessions, Size: t.size, Recipients: len(letter.to), Messages: t.messages,
		Seconds: last.Sub(began).Seconds(), Accepts: inMilliseconds(times), Load: load(),
	}
	return s, errors.Join(t.count(s, logs, signed), t.charge(s, before))
}

// letter is the task's message, and how often the sink is served for all of them:
// a notice goes to the sender alone, however many recipients there are.
func (t task) letter(last *atomic.Int64) (l letter, due int) {
	l = letter{from: t.user(), size: t.size, last: last, to: []string{t.to}}
	for i := 1; i < t.recipients; i++ {
		l.to = append(l.to, fmt.Sprintf("r%d.%s", i, t.to))
	}
	return l, t.messages * (t.due + len(l.to) - 1)
}

// logDelay is how long a line of Postfix's may take to its log.
const logDelay = 200 * time.Millisecond

// count counts passes and signatures.
func (t task) count(s *sample, logs []int64, signed int64) error {
	time.Sleep(logDelay)
	passes, err := t.passes(logs)
	calls, failed := t.signatures()
	s.Passes = float64(passes) / float64(t.messages)
	s.Signatures = float64(calls-signed) / float64(t.messages)
	return errors.Join(err, failed)
}

// charge charges the CPU time to the messages.
func (t task) charge(s *sample, before usage) error {
	after, err := measureUsage(t.pids)
	s.CPU = after.since(before, t.messages)
	return err
}

func inMilliseconds(times []time.Duration) (out []float64) {
	for _, t := range times {
		out = append(out, milliseconds(t))
	}
	return out
}
