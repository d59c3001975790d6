//go:build integration

package integration

import (
	"context"
	"fmt"
	"hash/fnv"
	"time"
)

// drain waits until all clients are done and, with queues, all queues are empty.
// Where nothing moves any more, something waits for a time that has been set: a
// hold of a minute, a lease. That time then comes.
func (t *trial) drain(ctx context.Context, ended <-chan struct{}, queues bool) error {
	last, since, flushed, empty := "", time.Now(), time.Now(), 0
	for {
		if err := context.Cause(ctx); err != nil {
			return fmt.Errorf("%d letters wait, queues: %s: %w", t.load.waiting.Load(), last, err)
		}
		now, nothing, err := t.remaining(queues)
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
		if now != last {
			last, since = now, time.Now()
		}
		if time.Since(since) > 4*time.Second {
			since = time.Now()
			if err := t.pass(61 * time.Second); err != nil {
				return err
			}
		}
		if time.Since(flushed) > 4*time.Second {
			flushed = time.Now()
			t.flush()
		}
		time.Sleep(time.Second)
	}
}

// flush has all queues tried at once, but of a Postfix that is down. One that is too
// busy to listen is asked again soon.
func (t *trial) flush() {
	for _, site := range t.world.sites() {
		if !site.postfix.ended() {
			_ = site.Flush()
		}
	}
}

// stand waits until nothing moves any more, though it is tried again and again: the
// rest of the queues waits for what is down. Without the tries a notice that was put
// off once would look like it, and come too late when the clocks are moved.
func (t *trial) stand(ctx context.Context) error {
	last, since, flushed := "", time.Now(), time.Time{}
	for time.Since(since) < 15*time.Second {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		if time.Since(flushed) > 4*time.Second {
			t.flush()
			flushed = time.Now()
		}
		now, _, err := t.remaining(true)
		if err != nil {
			return err
		}
		if now != last {
			last, since = now, time.Now()
		}
		time.Sleep(time.Second)
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
