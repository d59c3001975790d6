//go:build integration

package integration

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// restoreRows are those in which the database loses what it had. Rows of the legal
// log are missing after that, so that the logs are not judged.
func (n *nodeStage) restoreRows() []fault {
	return []fault{
		{point: "FP-47", what: "the last 3 s of commits lost", times: 3, adapt: n.gentle, during: n.repeat(3, n.loseCommits(3*time.Second, 0))},
		{point: "FP-48", what: "restored from a backup, Redis empty, notices owed", times: 1, adapt: n.gentle, during: n.repeat(1, n.loseCommits(10*time.Second, 10*time.Second))},
	}
}

// loseCommits puts the database back to what it was some time ago, and empties
// Redis. For the time held, before, no outbox recipient is served: the queues have
// messages of which the database knows nothing.
func (n *nodeStage) loseCommits(lost, held time.Duration) func(*trial) error {
	return func(t *trial) error {
		backup := filepath.Join(n.servers.postgres.Directory, fmt.Sprintf("backup%d", t.count))
		if err := n.servers.postgres.Dump(backup); err != nil {
			return err
		}
		time.Sleep(lost)
		hold := ""
		if held > 0 {
			hold = "mark-committed.before:1+:err"
		}
		if err := errors.Join(n.first.OrderFault(hold), n.second.OrderFault(hold)); err != nil {
			return err
		}
		time.Sleep(held)
		again, err := logEnd(n.first.LogFile())
		if err != nil {
			return err
		}
		err = errors.Join(n.first.StopDaemon(), n.second.StopDaemon())
		err = errors.Join(err, n.servers.postgres.Restore(backup), n.servers.redis.Do("FLUSHALL"), os.Remove(backup))
		err = errors.Join(err, n.first.OrderFault(""), n.second.OrderFault(""), n.first.StartDaemon(), n.second.StartDaemon())
		if err != nil || held == 0 {
			return err
		}
		return waitFor("intents recorded again", time.Minute, func() error {
			count, err := again.count("intent recorded again")
			if err == nil && count < 5 {
				err = fmt.Errorf("%d of them", count)
			}
			return err
		})
	}
}

// tryRestore is try without the legal logs.
func (n *nodeStage) tryRestore(t *testing.T, i int, f fault) (row string, err error) {
	begun := time.Now()
	tr := &trial{faultStage: n.faultStage, fault: f, alfa: n.first, beta: n.world.Provider("beta")}
	if err := tr.prepare(i); err != nil {
		return f.point, err
	}
	if err := errors.Join(tr.run(), tr.mend()); err != nil {
		return f.point, err
	}
	boxes, err := n.look(tr.load)
	if err = errors.Join(err, n.pass(-n.offset)); err != nil {
		return f.point, err
	}
	seen := &tally{letters: len(tr.load.sent)}
	for _, w := range tr.load.sent {
		seen.letter(w, boxes[w.id], standard(n.world, tr.load.to))
	}
	for _, told := range seen.told {
		t.Log(told)
	}
	if !seen.faultless() || tr.count < f.times {
		err = fmt.Errorf("%d faults, want %d; mail was lost, doubled, or notified wrongly", tr.count, f.times)
	}
	return fmt.Sprintf("%s\t%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%.0f", f.point, f.what, seen.letters, tr.count, seen.lost,
		seen.noticeWithoutMessage, seen.messageWithoutNotice, seen.double, seen.foreignDouble, seen.wrong, time.Since(begun).Seconds()), err
}
