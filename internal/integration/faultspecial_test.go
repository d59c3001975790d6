//go:build integration

package integration

import (
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/pec-milter/pec-milter/pec"
)

// allDropped counts the letters of clients that dropped at their first try.
func allDropped(t *trial) error {
	for _, w := range t.load.sent {
		if !w.next.IsZero() {
			t.injected()
		}
	}
	return nil
}

// slowEndOfMessage: the MTA waits 5 s, and the daemon hangs for 60 before it looks
// at the message: it goes on when nobody listens any more.
func slowEndOfMessage(t *trial) error {
	if err := t.alfa.SetPostfix("milter_content_timeout=5s"); err != nil {
		return err
	}
	t.changed = append(t.changed, func() error { return t.alfa.ResetPostfix("milter_content_timeout") })
	time.Sleep(time.Second)
	return hangs("alfa", "access.end-of-message")(t)
}

// lockBoth locks the database of both providers.
func lockBoth(t *trial) error {
	var other error
	var both sync.WaitGroup
	both.Go(func() { other = lock("beta", logFile, 8*time.Second)(t) })
	err := lock("alfa", logFile, 8*time.Second)(t)
	both.Wait()
	return errors.Join(err, other)
}

// holdOutbox keeps all outbox recipients of alfa in the queue.
func holdOutbox(t *trial) error { return t.alfa.OrderFault("mark-committed.before:1+:err") }

// downForADay: what is owed cannot be served for 12 hours, and goes into fresh
// queue files; then the daemon is down for 12 more.
func downForADay(t *trial) error {
	log, err := logEnd(t.alfa.LogFile())
	if err != nil {
		return err
	}
	if err := t.pass(12*time.Hour + 5*time.Minute); err != nil {
		return err
	}
	err = waitFor("fresh queue files", time.Minute, func() error {
		time.Sleep(200 * time.Millisecond)
		n, err := log.count("queued afresh")
		if err == nil && n < t.load.letters {
			err = fmt.Errorf("%d of %d", n, t.load.letters)
		}
		return err
	})
	if err != nil {
		return err
	}
	t.injected()
	if err := errors.Join(t.alfa.KillDaemon(), t.alfa.OrderFault(""), t.pass(12*time.Hour)); err != nil {
		return err
	}
	t.injected()
	return t.startDaemon(t.alfa)
}

func stopPeer(t *trial) error { return t.beta.mta.stop() }

// dayOfNotices: the notices of 12 and of 24 hours, with the daemon killed again
// and again as it emits them; then the peer is up.
func dayOfNotices(t *trial) error {
	for _, hours := range []float64{12.1, 11.5} {
		if err := t.pass(time.Duration(hours * float64(time.Hour))); err != nil {
			return err
		}
		for n, point := range []string{"inject.before", "inject.after", "log-append.after", "decide-first.after"} {
			if hours < 12 && n == 3 {
				point = "decide-last.after"
			}
			if err := t.order(t.alfa, fmt.Sprintf("%s:%d:kill", point, 5+t.random.IntN(5)), true); err != nil {
				return err
			}
		}
		if err := t.awaitNotices(len(t.load.sent)); err != nil {
			return err
		}
	}
	return t.beta.startMTA()
}

// awaitNotices waits until nothing is left to be decided: the timer works every
// second.
func (t *trial) awaitNotices(letters int) error {
	last := -1
	return waitFor("an end of time-out notices", 2*time.Minute, func() error {
		time.Sleep(3 * time.Second)
		boxes, err := t.look(t.load)
		if err != nil {
			return err
		}
		now := 0
		for _, there := range boxes {
			now += there[item{"sender", pec.TimeoutNotice, t.alfa.Domain}]
		}
		if now == 0 || now != last {
			last = now
			return fmt.Errorf("%d so far, of %d letters", now, letters)
		}
		return nil
	})
}

// lateNotices: both time-out notices, and in the end all the rest.
func lateNotices(t *trial) func(found) []due {
	dues := append(standard(t.world, t.load.to)(nil), due{item{"sender", pec.TimeoutNotice, t.alfa.Domain}, 2, false})
	return func(found) []due { return dues }
}

// raceAtTwelve brings the peer up when the timer is about to decide.
func raceAtTwelve(t *trial) error {
	if err := t.pass(12*time.Hour - 20*time.Second); err != nil {
		return err
	}
	t.injected()
	return t.beta.startMTA()
}

// maybeFirstNotice: the notice of 12 hours, or none.
func maybeFirstNotice(t *trial) func(found) []due {
	dues := standard(t.world, t.load.to)(nil)
	first := item{"sender", pec.TimeoutNotice, t.alfa.Domain}
	return func(there found) []due {
		if there[first] == 0 {
			return dues
		}
		return append(dues[:len(dues):len(dues)], due{first, 1, false})
	}
}

func stopBetaStore(t *trial) error { return t.beta.StopStore() }

// givenUp lets 23 hours pass; then beta's store comes back.
func givenUp(t *trial) error {
	if err := t.pass(23*time.Hour + time.Minute); err != nil {
		return err
	}
	t.injected()
	err := waitFor("beta's queue given up", 3*time.Minute, func() error {
		time.Sleep(time.Second)
		n, err := since{path: t.beta.LogFile()}.count("msg=undelivered", t.load.to[0])
		if err == nil && n < len(t.load.sent)*9/10 {
			err = fmt.Errorf("%d of %d", n, len(t.load.sent))
		}
		return err
	})
	return errors.Join(err, t.beta.StartStore())
}

// errorNotices: errore-consegna in place of the envelope at beta. What arrived
// there late is delivered.
func errorNotices(t *trial) func(found) []due { return storedOrRefused(t) }

// storedOrRefused: at beta the envelope and its avvenuta-consegna, or
// errore-consegna alone.
func storedOrRefused(t *trial) func(found) []due {
	stored := standard(t.world, t.load.to)(nil)
	beta := t.beta.Domain
	var refused []due
	for _, d := range stored {
		switch {
		case d.kind == pec.Envelope && d.box == t.load.to[0]:
			continue
		case d.kind == pec.Delivery && d.by == beta:
			d.kind = pec.NonDelivery
		}
		refused = append(refused, d)
	}
	return func(there found) []due {
		if there[item{"sender", pec.NonDelivery, beta}] > 0 {
			return refused
		}
		return stored
	}
}

func threeAtBeta(l *load) {
	domain := pec.Domain(l.to[0])
	l.to = []string{l.name + "-r1@" + domain, l.name + "-r2@" + domain, l.name + "-r3@" + domain}
}

func thirdAtBeta(t *trial) (*Site, string) { return t.beta.Site, Local(t.load.to[2]) }

// fullMailbox bounds the mailbox at beta to less than the load.
func fullMailbox(t *trial) error {
	if err := t.beta.SetQuota(t.load.to[0], 200_000); err != nil {
		return err
	}
	t.injected()
	return nil
}

func hundredClients(l *load) { l.clients, l.letters, l.exactly = 100, 100, true }

// terminate ends the daemon when all clients wait for the antivirus.
func terminate(t *trial) error {
	if err := t.alfa.clamd.signalAll(syscall.SIGSTOP); err != nil {
		return err
	}
	time.Sleep(8 * time.Second)
	time.AfterFunc(5*time.Second, func() { _ = t.alfa.clamd.signalAll(syscall.SIGCONT) })
	begun := time.Now()
	if err := t.alfa.daemon.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-t.alfa.daemon.done:
	case <-time.After(40 * time.Second):
		return errors.New("the daemon did not end within 40 s of SIGTERM")
	}
	t.injected()
	fmt.Printf("SIGTERM: ended after %v\n", time.Since(begun).Round(100*time.Millisecond))
	return t.startDaemon(t.alfa)
}

// largeLetters: every fifth needs the spool.
func largeLetters(l *load) {
	l.padding = func(n int) int {
		if n%5 == 0 {
			return 1_300_000
		}
		return 0
	}
}

// fullSpool lays a file system of 64 KiB over alfa's spool for some time.
func fullSpool(t *trial) error {
	dir := filepath.Join(t.alfa.Dir, "spool")
	if err := syscall.Mount("none", dir, "tmpfs", 0, "size=64k"); err != nil {
		return fmt.Errorf("mounting a small file system: %w", err)
	}
	time.Sleep(5 * time.Second)
	return syscall.Unmount(dir, syscall.MNT_DETACH)
}

func killAnyMTA(t *trial) error {
	provider := []string{"alfa", "beta"}[t.random.IntN(2)]
	return killMTA(provider, []string{"qmgr", "lmtp", "cleanup", "smtpd"}...)(t)
}

func thousand(l *load) { l.clients, l.letters = 12, 1000 }

// killStorm kills one daemon after the other as long as there is load.
func killStorm(t *trial) error {
	for {
		t.load.mu.Lock()
		sent := len(t.load.sent)
		t.load.mu.Unlock()
		if sent >= t.load.letters && t.count >= t.times {
			return nil
		}
		time.Sleep(60*time.Millisecond + time.Duration(t.random.Int64N(int64(340*time.Millisecond))))
		if err := killAnyDaemon(t); err != nil {
			return err
		}
		t.injected()
	}
}
