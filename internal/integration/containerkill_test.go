//go:build integration

package integration

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// containerKills is how often the pec-milter of alfa is killed.
const containerKills = 8

// killUnderLoad kills the sidecar of alfa again and again, and once its Postfix, while
// clients submit; then all that they were told is compared with what there is. Nothing
// may be lost, nothing seen twice.
func (c *composed) killUnderLoad() {
	c.t.Helper()
	c.trustServers()
	alfa := c.world.Provider("alfa")
	l := &load{
		alfa: alfa, name: "kill", clients: loadClients, letters: 60,
		to: []string{loadRecipient + "@" + c.world.Provider("beta").Domain, "kill-c@" + alfa.Domain},
	}
	enough, ended := make(chan struct{}), make(chan struct{})
	l.enough = enough
	ctx, cancel := context.WithTimeout(c.t.Context(), trialTime)
	defer cancel()
	go func() {
		defer close(ended)
		l.run(ctx)
	}()
	err := c.kills()
	close(enough)
	err = errors.Join(err, c.drain(ctx, l))
	cancel()
	<-ended
	if err != nil {
		c.t.Fatal(err)
	}
	c.judge(l)
}

// kills kills and starts.
//
// QUIRK: SoftHSM writes the file of a token anew at each login: a kill in that moment
// leaves it empty. A real token is not hurt by its user's death, so here it is what it was.
func (c *composed) kills() error {
	tokens := filepath.Join(c.keys, "alfa", "tokens")
	saved := filepath.Join(c.t.TempDir(), "tokens")
	err := waitFor("whole files of the token", patience, func() error {
		_, err := run(nil, "sh", "-euc", `rm -rf "$2" && cp -a "$1" "$2"`, "copy", tokens, saved)
		return errors.Join(err, allWhole(saved))
	})
	for n := 0; err == nil && n < containerKills; n++ {
		time.Sleep(time.Second + time.Duration(rand.Int64N(int64(3*time.Second))))
		err = c.killOnce("alfa-pec-milter", func() error {
			_, err := run(nil, "sh", "-euc", `rm -rf "$1"/* && cp -a "$2"/. "$1"`, "copy", tokens, saved)
			return err
		})
		if err == nil && n == containerKills/2 {
			err = c.killOnce("alfa-postfix", func() error { return nil })
		}
	}
	return err
}

// killOnce ends a container with SIGKILL, has something done, and starts it again.
func (c *composed) killOnce(service string, meanwhile func() error) error {
	id, err := c.id(service)
	if err != nil {
		return err
	}
	if _, err := c.docker("kill", id); err != nil {
		return err
	}
	if err := meanwhile(); err != nil {
		return err
	}
	_, err = c.docker("start", id)
	return err
}

// drain waits until all clients have their 250 and no queue has anything left.
func (c *composed) drain(ctx context.Context, l *load) error {
	for empty := 0; empty < 3; time.Sleep(3 * time.Second) {
		var queues strings.Builder
		for _, postfix := range []string{"alfa-postfix", "beta-postfix"} {
			waiting, err := c.exec(postfix, "sh", "-c", "postqueue -f; postqueue -j")
			if err != nil {
				waiting = err.Error() // it is being started
			}
			queues.WriteString(waiting)
		}
		if empty++; queues.Len() > 0 || l.waiting.Load() > 0 {
			empty = 0
		}
		if err := context.Cause(ctx); err != nil {
			return fmt.Errorf("%d letters wait, queues: %s: %w", l.waiting.Load(), &queues, err)
		}
	}
	return nil
}

// judge copies all mailboxes and has the oracle of the faults look at them and at the
// legal logs.
func (c *composed) judge(l *load) {
	c.t.Helper()
	for _, p := range c.world.Providers {
		id, err := c.id(p.Name + "-dovecot")
		if err == nil {
			err = os.MkdirAll(p.Dir, 0o755)
		}
		if err == nil {
			_, err = c.docker("cp", id+":/srv/mail", filepath.Join(p.Dir, "mail"))
		}
		if err != nil {
			c.t.Fatal(err)
		}
	}
	s := &faultStage{stage: &stage{world: c.world}}
	tally, err := s.judge(l, standard(c.world, l.to))
	if err != nil {
		c.t.Fatal(err)
	}
	for _, told := range tally.told {
		c.t.Error(told)
	}
	if !tally.faultless() || tally.letters < l.letters {
		c.t.Error("mail was lost, doubled, or notified wrongly, or there was too little")
	}
	c.t.Logf("%d messages to %d recipients each, %d kills: lost %d, notice without message %d, message without notice %d, double %d, otherwise wrong %d",
		tally.letters, len(l.to), containerKills+1, tally.lost, tally.noticeWithoutMessage, tally.messageWithoutNotice, tally.double, tally.wrong)
}
