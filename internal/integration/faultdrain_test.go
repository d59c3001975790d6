//go:build integration

package integration

import (
	"context"
	"fmt"
	"hash/fnv"
	"time"
)

// motion is what was still to be done when that last changed.
type motion struct {
	what           string
	since, flushed time.Time
}

// watch sees what is still to be done, and every few seconds has it tried.
func (t *trial) watch(ctx context.Context, m *motion, queues bool) (nothing bool, err error) {
	if err := context.Cause(ctx); err != nil {
		return false, fmt.Errorf("%d letters wait, queues: %s: %w", t.load.waiting.Load(), m.what, err)
	}
	if time.Since(m.flushed) > 4*time.Second {
		m.flushed = time.Now()
		t.flush()
	}
	what, nothing, err := t.remaining(queues)
	if err == nil && what != m.what {
		m.what, m.since = what, time.Now()
	}
	return nothing, err
}

// drain waits until all clients are done and, with queues, all queues are empty.
// Where nothing moves any more, something waits for a time that has been set: a
// hold of a minute, a lease. That time then comes.
func (t *trial) drain(ctx context.Context, ended <-chan struct{}, queues bool) error {
	m, empty := motion{since: time.Now(), flushed: time.Now()}, 0
	for {
		nothing, err := t.watch(ctx, &m, queues)
		if err != nil {
			return err
		}
		if empty++; !nothing {
			empty = 0
		}
		if empty >= 2 {
			<-ended
			return nil
		}
		if time.Since(m.since) > 4*time.Second {
			m.since = time.Now()
			if err := t.pass(61 * time.Second); err != nil {
				return err
			}
		}
		time.Sleep(time.Second)
	}
}

// flush has all queues tried at once, but of a Postfix that is down. One that is too
// busy to listen is asked again soon.
func (t *trial) flush() {
	for _, site := range t.world.sites() {
		if !site.mta.ended() {
			_ = site.Flush()
		}
	}
}

// stand waits until nothing moves any more, though it is tried again and again: the
// rest of the queues waits for what is down. Without the tries a notice that was put
// off once would look like it, and come too late when the clocks are moved.
func (t *trial) stand(ctx context.Context) error {
	for m := (motion{since: time.Now()}); time.Since(m.since) < 15*time.Second; time.Sleep(time.Second) {
		if _, err := t.watch(ctx, &m, true); err != nil {
			return err
		}
	}
	return nil
}

// remaining describes what is still to be done.
func (t *trial) remaining(queues bool) (what string, nothing bool, err error) {
	waiting := t.load.waiting.Load()
	what, nothing = fmt.Sprint(waiting), waiting == 0
	if !queues {
		return what, nothing, nil
	}
	for _, site := range t.world.sites() {
		files, err := site.Waiting()
		if err != nil {
			return "", false, err
		}
		nothing = nothing && len(files) == 0
		names := fnv.New32a()
		fmt.Fprint(names, files)
		what += fmt.Sprintf(" %s %d/%x", site.Name, len(files), names.Sum32())
	}
	return what, nothing, nil
}
