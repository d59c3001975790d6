//go:build integration

package integration

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	_ "modernc.org/sqlite" // some faults lock the daemon's database
)

// fault is one row of the table that TestFaults prints.
type fault struct {
	point string // of the list in docs/faults.md
	what  string
	times int    // how often it is to happen, at least
	on    string // sqlite, servers: with that backend alone
	short bool   // make test has it too
	// postfix: what it does is done to Postfix; with Sendmail there is no such row.
	postfix bool
	long    int // its minutes, where they are many: it begins early
	// during makes it happen while there is load; it says t.injected() each time.
	during func(t *trial) error
	// after acts when all clients have their answers, before everything is looked
	// after; nil: nothing.
	after func(t *trial) error
	adapt func(l *load)                  // another load; nil: the usual one
	owed  func(*trial) func(found) []due // what a letter owes; nil: as without faults
}

// TestFaults: under load, each fault happens again and again; then all is up
// again, the queues are emptied, and what the clients were told is compared with
// mailboxes and legal logs. Nothing may be lost, nothing seen twice.
//
// A row waits as much as it works: with FAULTS_WORLDS several rows run at
// once, each in a world of its own.
func TestFaults(t *testing.T) {
	backend := cmp.Or(os.Getenv("FAULTS_BACKEND"), sqlite)
	stages := startFaultStages(t, backend)
	table := &faultTable{rows: map[int]string{}}
	queue := make(chan int)
	var workers sync.WaitGroup
	for _, s := range stages {
		workers.Go(func() { s.work(t, queue, table) })
	}
	for _, n := range wantedFaults(backend, stages[0].onSendmail) {
		queue <- n
	}
	close(queue)
	workers.Wait()
	text := table.String()
	t.Log("\n" + text)
	if path := os.Getenv("FAULTS_TABLE"); path != "" {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Error(err)
		}
	}
}

// faultStage is the world that faults happen in.
type faultStage struct {
	*stage
	name     string // of the backend
	seed     uint64
	random   *rand.Rand
	tokens   map[*Provider]fs.FS
	offset   time.Duration // of both providers' clocks
	hopeless bool          // the world cannot be brought up again
}

// startFaultStages starts as many worlds of daemons that fail where they are told
// to as FAULTS_WORLDS says; one by default.
func startFaultStages(t *testing.T, backend string) (stages []*faultStage) {
	t.Helper()
	worlds, err := strconv.Atoi(cmp.Or(os.Getenv("FAULTS_WORLDS"), "1"))
	if err != nil || worlds < 1 {
		t.Fatalf("FAULTS_WORLDS=%s: a number, of 1 at least", os.Getenv("FAULTS_WORLDS"))
	}
	onSendmail := faultsOnSendmail(t)
	for range worlds {
		s := newFaultStage(t)
		s.onSendmail = onSendmail
		s.useBackend(t, backend)
		s.begin(t)
		t.Log("seed ", s.seed)
		stages = append(stages, s)
	}
	return stages
}

// faultsOnSendmail: the providers have the MTA that FAULTS_MTA names; Postfix by default.
func faultsOnSendmail(t *testing.T) bool {
	t.Helper()
	name := os.Getenv("FAULTS_MTA")
	if name != "" && name != "postfix" && name != "sendmail" {
		t.Fatalf("FAULTS_MTA=%s: postfix or sendmail", name)
	}
	return name == "sendmail"
}

// newFaultStage has a stage of its own; begin starts its world.
func newFaultStage(t *testing.T) *faultStage {
	t.Helper()
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	t.Cleanup(cancel)
	s := &faultStage{stage: &stage{repository: repositoryDir(t), stopped: ctx}, seed: uint64(time.Now().UnixNano())}
	s.random = rand.New(rand.NewPCG(s.seed, 0))
	return s
}

func (s *faultStage) begin(t *testing.T) {
	t.Helper()
	s.stage.start(t)
	s.saveTokens(t)
	// Dovecot wants the deliveries into a mailbox one after the other, as ours are.
	if err := s.world.Ordinary.SetPostfix("lmtp_destination_concurrency_limit=1"); err != nil {
		t.Fatal(err)
	}
	// Clocks go ahead by days.
	if err := s.world.authorities.writeRevocations(s.world.trustDir(), time.Now().AddDate(0, 1, 0)); err != nil {
		t.Fatal(err)
	}
	// master waits for a minute before it starts again a program that was killed
	// before its first work. What waits for a fault to end is tried seldom and few at
	// a time, or that is all the machine does; drain flushes the queues. Starting a
	// process costs more than what it does.
	for _, site := range s.world.sites() {
		if _, is := site.server().(postfix); !is {
			continue // it runs its queue each second
		}
		for _, setting := range []string{
			"service_throttle_time=2s", "queue_run_delay=5s", "maximal_backoff_time=30s", "minimal_backoff_time=10s",
			"default_destination_concurrency_limit=10", "max_use=10000",
		} {
			if err := site.SetPostfix(setting); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// startDaemon starts a daemon after it was killed.
//
// QUIRK: SoftHSM 2.6 does not always survive that: a daemon was killed just after
// its start, and the token could not be found any more. A real token is not hurt
// by its user's death, so here it is what it was when the world began.
func (s *faultStage) startDaemon(p *Provider) error {
	tokens := p.daemonFile("tokens")
	if err := errors.Join(os.RemoveAll(tokens), os.CopyFS(tokens, s.tokens[p])); err != nil {
		return err
	}
	return p.StartDaemon()
}

// saveTokens remembers the tokens as they are. SoftHSM empties the file of a token and
// writes it anew when somebody logs in: such a moment is no good one.
func (s *faultStage) saveTokens(t *testing.T) {
	t.Helper()
	s.tokens = map[*Provider]fs.FS{}
	for _, p := range s.world.Providers {
		err := waitFor("whole files of the token of "+p.Name, 30*time.Second, func() error {
			dir := filepath.Join(t.TempDir(), p.Name)
			s.tokens[p] = os.DirFS(dir)
			return errors.Join(os.CopyFS(dir, os.DirFS(p.daemonFile("tokens"))), allWhole(dir))
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// allWhole: no object of a token is an empty file.
func allWhole(dir string) error {
	objects, err := filepath.Glob(filepath.Join(dir, "*", "*.object"))
	for _, object := range objects {
		info, failed := os.Stat(object)
		if failed == nil && info.Size() == 0 {
			failed = fmt.Errorf("%s is empty", object)
		}
		err = errors.Join(err, failed)
	}
	return err
}

// trial is one fault under load.
type trial struct {
	*faultStage
	fault
	load  *load
	count int
	alfa  *Provider
	beta  *Provider
}

// injected says that the fault has happened once more.
func (t *trial) injected() { t.count++ }

// try runs one row.
func (s *faultStage) try(t *testing.T, n int, f fault) (row string, err error) {
	begun := time.Now()
	tr := &trial{faultStage: s, fault: f, alfa: s.world.Provider("alfa"), beta: s.world.Provider("beta")}
	if err := tr.prepare(n); err != nil {
		return f.point, err
	}
	owed := standard(s.world, tr.load.to)
	if f.owed != nil {
		owed = f.owed(tr)
	}
	err = tr.run()
	if up := tr.mend(); up != nil {
		s.hopeless = true
		return f.point, errors.Join(err, up)
	}
	tally, failed := s.judge(tr.load, owed)
	if failed = errors.Join(failed, s.pass(-s.offset)); failed != nil {
		return f.point, errors.Join(err, failed)
	}
	for _, told := range tally.told {
		t.Log(told)
	}
	row = fmt.Sprintf("%s\t%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%.0f", f.point, f.what, tally.letters, tr.count, tally.lost,
		tally.noticeWithoutMessage, tally.messageWithoutNotice, tally.double, tally.foreignDouble, tally.wrong, time.Since(begun).Seconds())
	if !tally.faultless() {
		err = errors.Join(err, errors.New("mail was lost, doubled, or notified wrongly"))
	}
	if tr.count < f.times || tally.letters < tr.load.letters {
		err = errors.Join(err, fmt.Errorf("%d faults and %d messages, want %d and %d: the rest proves nothing",
			tr.count, tally.letters, f.times, tr.load.letters))
	}
	return row, err
}

// prepare makes the load and its mailboxes.
func (t *trial) prepare(n int) error {
	name := fmt.Sprintf("%s-%d", strings.ToLower(t.point), n)
	t.load = &load{alfa: t.alfa, name: name, clients: 4, letters: 100}
	t.load.to = []string{name + "-r@" + t.beta.Domain, name + "-c@" + t.alfa.Domain, name + "-o@" + t.world.Ordinary.Domain}
	if t.adapt != nil {
		t.adapt(t.load)
	}
	locals := map[*Site][]string{}
	for client := range t.load.clients {
		locals[t.alfa.Site] = append(locals[t.alfa.Site], Local(t.load.sender(client)))
	}
	for _, r := range t.load.to {
		site := t.world.SiteOf(r)
		locals[site] = append(locals[site], Local(r))
	}
	return together([]func() error{
		func() error { return t.alfa.AddUsers(locals[t.alfa.Site]...) },
		func() error { return t.beta.AddUsers(locals[t.beta.Site]...) },
		func() error {
			if len(locals[t.world.Ordinary]) == 0 {
				return nil
			}
			return t.world.Ordinary.AddUsers(locals[t.world.Ordinary]...)
		},
	})
}

// trialTime is how long a load may take, on a slow machine.
const trialTime = 30 * time.Minute

// run runs load and fault at the same time, then waits for the end of all.
func (t *trial) run() error {
	ctx, cancel := context.WithTimeout(t.stopped, trialTime)
	defer cancel()
	enough := make(chan struct{})
	t.load.enough = enough
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		t.load.run(ctx)
	}()
	var err error
	if t.during != nil {
		err = t.during(t)
	}
	close(enough)
	if err == nil && t.after != nil {
		if err = t.drain(ctx, ended, false); err == nil {
			err = t.stand(ctx)
		}
		if err == nil {
			err = t.after(t)
		}
	}
	if up := t.mend(); up != nil {
		cancel()
		<-ended
		return errors.Join(err, up)
	}
	err = errors.Join(err, t.drain(ctx, ended, true))
	cancel()
	<-ended
	return err
}

// pass lets time pass on both providers' clocks.
func (s *faultStage) pass(by time.Duration) error {
	s.offset += by
	var errs []error
	for _, p := range s.world.Providers {
		errs = append(errs, p.MoveClock(s.offset))
	}
	return errors.Join(errs...)
}

// mend brings everything up again that the fault has left down.
func (t *trial) mend() error {
	errs := []error{t.restore()}
	for _, p := range t.world.Providers {
		all := []*process{p.daemon, p.dovecot, p.clamd, p.mta}
		if b, is := p.backend.(*redisAndPostgreSQL); is {
			all = append(all, b.Redis.process)
			errs = append(errs, b.mend())
		}
		for _, server := range all {
			if !server.ended() {
				errs = append(errs, server.signalAll(syscall.SIGCONT))
			}
		}
		errs = append(errs, p.OrderFault(""))
		if p.daemon.ended() {
			errs = append(errs, t.startDaemon(p))
		}
		if p.mta.ended() {
			errs = append(errs, p.startMTA())
		}
	}
	return errors.Join(append(errs, t.stage.mend())...)
}

// signalAll sends a signal to a process and its group.
func (p *process) signalAll(signal syscall.Signal) error {
	if p == nil {
		return nil
	}
	if err := syscall.Kill(-p.pid(), signal); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("signal to %s: %w", p.name, err)
	}
	return nil
}
