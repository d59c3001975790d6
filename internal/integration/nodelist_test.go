//go:build integration

package integration

import (
	"errors"
	"fmt"
	"net/textproto"
	"strings"
	"sync"
	"syscall"
	"time"
)

// rows are those of docs/faults.md that need two nodes.
func (n *nodeStage) rows() []fault {
	return []fault{
		{point: "FP-39", what: "each message handed to both nodes at once", times: 100, short: true, adapt: n.toBoth, after: n.allOnBoth},
		{point: "FP-39", what: "second node asked while the first is in end of message", times: 1, adapt: n.firstThenSecond, during: n.hangFirst},
		{point: "FP-40", what: "a node stands still, its leases run out", times: 2, adapt: n.gentle, during: n.repeat(2, n.stopFirst)},
		// What waits for PostgreSQL is given up after 30 s.
		{point: "FP-41", what: "a node cut off from PostgreSQL for 20 s", times: 2, adapt: n.gentle, during: n.repeat(2, n.cutOff(postgresCable, 40*time.Second))},
		{point: "FP-41", what: "a node cut off from Redis for 20 s", times: 2, adapt: n.gentle, during: n.repeat(2, n.cutOff(redisCable, backWithin))},
		{point: "REDIS", what: "FLUSHALL again and again", times: 30, adapt: n.steady, during: n.repeat(30, n.flush)},
		{point: "REDIS", what: "killed and started again", times: 5, adapt: n.steady, during: n.repeat(5, n.restartRedis(0))},
		{point: "REDIS", what: "down for 30 s", times: 1, adapt: n.steady, during: n.repeat(1, n.restartRedis(30*time.Second))},
		{point: "ROLLING", what: "one node restarted after the other", times: 2, short: true, adapt: n.steady, during: n.repeat(2, n.rolling)},
		{point: "ROLLING", what: "the same for long", times: 10, adapt: n.steady, during: n.repeat(10, n.rolling)},
		{point: "FP-44", what: "SIGTERM with 100 messages in end of message", times: 1, adapt: hundredClients, during: terminate},
	}
}

// sentinelRows are those with Sentinels.
func (n *nodeStage) sentinelRows() []fault {
	return []fault{
		{point: "FP-07", what: "Redis fails over by Sentinel", times: 3, adapt: n.steady, during: n.repeat(3, n.failOver)},
	}
}

// repeat does something some times, under load.
func (n *nodeStage) repeat(times int, do func(*trial) error) func(*trial) error {
	return func(t *trial) error {
		begun := time.Now()
		for range times {
			time.Sleep(500*time.Millisecond + time.Duration(t.random.Int64N(int64(time.Second))))
			if err := do(t); err != nil {
				return err
			}
			t.injected()
		}
		time.Sleep(time.Second)
		passed := time.Since(begun).Seconds()
		n.measured.submitted = float64(n.submittedSince(begun)) / passed
		n.measured.taken = float64(n.acceptedSince(begun, n.first, n.second)) / passed
		return nil
	}
}

// toBoth: each message goes to both nodes at the same time until both have taken
// it.
func (n *nodeStage) toBoth(l *load) {
	l.submit = func(l *load, w *letter) error {
		var errs [2]error
		var both sync.WaitGroup
		for i, node := range []*Provider{n.first, n.second} {
			both.Go(func() { errs[i] = n.submit(l, w, node) })
		}
		both.Wait()
		return errors.Join(errs[:]...)
	}
}

func (n *nodeStage) allOnBoth(t *trial) error {
	t.count = min(len(n.accepted[n.first]), len(n.accepted[n.second]))
	return nil
}

// firstThenSecond: a message that the first node has not taken is offered to the
// second.
func (n *nodeStage) firstThenSecond(l *load) {
	l.submit = func(l *load, w *letter) error {
		if w.next.IsZero() {
			return n.submit(l, w, n.first)
		}
		err := n.submit(l, w, n.second)
		reply := (*textproto.Error)(nil)
		if errors.As(err, &reply) && strings.Contains(reply.Msg, "the same message is being processed") {
			n.waited.Add(1)
		}
		return err
	}
}

// hangFirst has the first node hang once in an end of message: the second node has
// the client wait as long.
func (n *nodeStage) hangFirst(t *trial) error {
	n.waited.Store(0)
	if err := t.order(n.first, "mark-sent.before:1:hang", false); err != nil {
		return err
	}
	time.Sleep(clientPatience)
	begun := time.Now()
	err := waitFor("451 of the second node", 30*time.Second, func() error {
		if n.waited.Load() < 10 {
			return fmt.Errorf("%d of them", n.waited.Load())
		}
		return nil
	})
	fmt.Printf("FP-39: %d answers 451 of the second node within %.0f s\n", n.waited.Load(), time.Since(begun).Seconds())
	return err
}

// stopFirst: the first node stands still for longer than its leases last, and goes
// on. Meanwhile the second one works.
func (n *nodeStage) stopFirst(*trial) error {
	begun := time.Now()
	if err := n.first.daemon.signalAll(syscall.SIGSTOP); err != nil {
		return err
	}
	time.Sleep(clientPatience)
	err := n.leasesEnd()
	time.Sleep(clientPatience)
	if err = errors.Join(err, n.first.daemon.signalAll(syscall.SIGCONT)); err != nil {
		return err
	}
	if n.acceptedSince(begun.Add(2*time.Second), n.second) == 0 {
		return errors.New("the second node has taken nothing meanwhile")
	}
	return n.back("FP-40", backWithin)
}

// cutOff pulls a cable of the first node out for 20 s.
func (n *nodeStage) cutOff(cable string, within time.Duration) func(*trial) error {
	return func(t *trial) error {
		log, err := logEnd(n.first.LogFile())
		if err != nil {
			return err
		}
		t.changed = append(t.changed, func() error { return n.servers.network.mend(cable) })
		if err := n.servers.network.cut(cable); err != nil {
			return err
		}
		time.Sleep(clientPatience) // what had passed is through
		silent := time.Now()
		time.Sleep(20*time.Second - clientPatience)
		if taken := n.acceptedSince(silent, n.first); taken > 0 {
			return fmt.Errorf("the node that is cut off has taken %d messages", taken)
		}
		if n.acceptedSince(silent, n.second) == 0 {
			return errors.New("the other node has taken nothing")
		}
		if err := n.servers.network.mend(cable); err != nil {
			return err
		}
		err = n.back("FP-41, "+cable, within)
		felt, failed := log.count("temporary failure")
		fmt.Printf("FP-41, %s: %d temporary failures of the node that was cut off\n", cable, felt)
		return errors.Join(err, failed, n.leasesEnd())
	}
}

func (n *nodeStage) flush(*trial) error { return n.servers.redis.Do("FLUSHALL") }

// killRedis kills one that is to be started again, and will be at the end if not
// before.
func (t *trial) killRedis(r *Redis) error {
	t.changed = append(t.changed, func() error {
		if r.process.ended() {
			return r.Start()
		}
		return nil
	})
	return r.process.kill()
}

func (n *nodeStage) restartRedis(down time.Duration) func(*trial) error {
	return func(t *trial) error {
		r := n.servers.redis
		if err := t.killRedis(r); err != nil {
			return err
		}
		time.Sleep(down)
		if err := r.Start(); err != nil {
			return err
		}
		return errors.Join(n.back("Redis", backWithin), n.leasesEnd())
	}
}

// rolling restarts one node, and the other one the next time.
func (n *nodeStage) rolling(t *trial) error {
	node := []*Provider{n.first, n.second}[t.count%2]
	if err := node.StopDaemon(); err != nil {
		return err
	}
	if err := node.StartDaemon(); err != nil {
		return err
	}
	return n.back("rolling restart", backWithin)
}

// failOver kills the master, and starts it again as a replica.
func (n *nodeStage) failOver(t *trial) error {
	s := n.servers
	if err := t.killRedis(s.redis); err != nil {
		return err
	}
	killed := time.Now()
	if err := waitFor("fail-over", time.Minute, func() error { return s.replica.says("role:master") }); err != nil {
		return err
	}
	fmt.Printf("fail-over took %.1f s\n", time.Since(killed).Seconds())
	err := n.back("fail-over", backWithin)
	n.measured.back = max(n.measured.back, time.Since(killed)) // what a user sees
	s.redis, s.replica = s.replica, s.redis
	return errors.Join(err, s.replica.Start(), n.leasesEnd(), waitFor("replication", time.Minute, func() error {
		return errors.Join(s.replica.says("role:slave"), s.replica.says("master_link_status:up"))
	}))
}

// says asks a Redis what it says of its replication.
func (r *Redis) says(wanted string) error {
	out, err := r.ask("INFO", "replication")
	if err == nil && !strings.Contains(out, wanted) {
		err = fmt.Errorf("it does not say %s", wanted)
	}
	return err
}
