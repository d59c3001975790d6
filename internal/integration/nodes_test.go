//go:build integration

package integration

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/pec-milter/pec-milter/internal/testpostgres"
)

// TestNodes: what TestFaults does with one node, done with two nodes of alfa on
// one Redis and one PostgreSQL.
func TestNodes(t *testing.T) {
	var table strings.Builder
	out := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	fmt.Fprintln(out, "point\twhat\tmessages\tfaults\tlost\tnotice without message\tmessage without notice\tvisible duplicates\t(foreign)\tother\tseconds"+
		"\tnew a second\ttaken a second\tlongest until back")
	t.Run("redis", func(t *testing.T) {
		n := newNodeStage(t)
		rows, restores := asked(n.rows()), asked(n.restoreRows())
		if len(rows)+len(restores) == 0 {
			return
		}
		n.start(t, false)
		n.tryAll(t, out, rows, n.try)
		n.tryAll(t, out, restores, n.tryRestore)
	})
	t.Run("sentinel", func(t *testing.T) {
		n := newNodeStage(t)
		if rows := asked(n.sentinelRows()); len(rows) > 0 {
			n.start(t, true)
			n.tryAll(t, out, rows, n.try)
		}
	})
	out.Flush()
	t.Log("\n" + table.String())
	if path := os.Getenv("NODES_TABLE"); path != "" {
		if err := os.WriteFile(path, []byte(table.String()), 0o644); err != nil {
			t.Error(err)
		}
	}
}

// asked are the rows that this run is to try.
func asked(rows []fault) (these []fault) {
	only := os.Getenv("NODES")
	for _, f := range rows {
		if (allNodes || f.short) && (only == "" || strings.Contains(","+only+",", ","+f.point+",")) {
			these = append(these, f)
		}
	}
	return these
}

// nodeStage is the world with two nodes of alfa.
type nodeStage struct {
	*faultStage
	servers *nodeServers
	first   *Provider
	second  *Provider

	next     atomic.Int64 // counts submissions: the nodes take turns
	waited   atomic.Int64 // answers 451 to what the other node works on
	pace     <-chan time.Time
	mu       sync.Mutex
	fresh    []time.Time               // first tries
	accepted map[*Provider][]time.Time // 250s, in their order
	measured measured
}

// measured is what a row has shown besides.
type measured struct {
	submitted, taken float64       // messages a second while faults happened; 0: nobody has counted
	back             time.Duration // the longest until both nodes took mail again
}

func (m measured) String() string {
	if m.submitted == 0 {
		return "\t\t"
	}
	text := fmt.Sprintf("%.1f\t%.1f\t", m.submitted, m.taken)
	if m.back > 0 {
		text += fmt.Sprintf("%.1f s", m.back.Seconds())
	}
	return text
}

func newNodeStage(t *testing.T) *nodeStage {
	t.Helper()
	if !testpostgres.Installed() {
		skip(t, "no PostgreSQL: contrib/debian/setup.sh installs it")
	}
	return &nodeStage{faultStage: newFaultStage(t), servers: &nodeServers{}, accepted: map[*Provider][]time.Time{}}
}

func (n *nodeStage) start(t *testing.T, sentinel bool) {
	t.Helper()
	n.backend, n.twoNodes = n.servers.backend(sentinel), "alfa"
	n.begin(t)
	n.first, n.second = n.world.Provider("alfa"), n.world.Provider("alfa2")
}

func (n *nodeStage) tryAll(t *testing.T, out *tabwriter.Writer, rows []fault, try func(*testing.T, int, fault) (string, error)) {
	t.Helper()
	for i, f := range rows {
		t.Run(fmt.Sprintf("%s-%d", f.point, i), func(t *testing.T) {
			n.measured = measured{}
			row, err := try(t, i, f)
			row += "\t" + n.measured.String()
			fmt.Fprintln(out, row)
			t.Log(row)
			if err != nil {
				t.Error(err)
			}
		})
		if t.Failed() && n.hopeless || n.stopped.Err() != nil {
			return
		}
	}
}

// steady are many clients with 20 messages a second in all. gentle is for rows that
// are not about load.
func (n *nodeStage) steady(l *load) { n.submitting(l, 20) }
func (n *nodeStage) gentle(l *load) { n.submitting(l, 5) }

// submitting: each client is a queue that tries the next node when one has not
// taken a message.
func (n *nodeStage) submitting(l *load, perSecond time.Duration) {
	l.clients, l.letters = 30, 100
	n.pace = time.Tick(time.Second / perSecond)
	l.submit = func(l *load, w *letter) error {
		if w.next.IsZero() {
			<-n.pace
			n.isNew()
		}
		return n.submit(l, w, []*Provider{n.first, n.second}[n.next.Add(1)%2])
	}
}

// clientPatience is how long a client waits for an answer. It goes away without
// one, and leaves the connection open, as one does whose network is broken.
const clientPatience = 8 * time.Second

var errGoneAway = errors.New("the client has waited long enough")

func (n *nodeStage) submit(l *load, w *letter, node *Provider) error {
	result := make(chan error, 1)
	go func() { result <- node.Submit(NewMail(w.data, w.from, l.to...)) }()
	select {
	case err := <-result:
		if err == nil {
			n.isTaken(node)
		}
		return err
	case <-time.After(clientPatience):
		return errGoneAway
	}
}

func (n *nodeStage) isNew() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.fresh = append(n.fresh, time.Now())
}

func (n *nodeStage) isTaken(by *Provider) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.accepted[by] = append(n.accepted[by], time.Now())
}

// acceptedSince counts the messages that nodes have taken.
func (n *nodeStage) acceptedSince(since time.Time, nodes ...*Provider) (count int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, node := range nodes {
		count += after(n.accepted[node], since)
	}
	return count
}

// submittedSince counts the messages that were tried for the first time.
func (n *nodeStage) submittedSince(since time.Time) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return after(n.fresh, since)
}

func after(times []time.Time, since time.Time) (count int) {
	for _, at := range times {
		if at.After(since) {
			count++
		}
	}
	return count
}

// backWithin is how long mail may still wait when what it needs is there again.
const backWithin = 10 * time.Second

// back waits until each node takes mail again.
func (n *nodeStage) back(what string, within time.Duration) error {
	up := time.Now()
	for _, node := range []*Provider{n.first, n.second} {
		err := waitFor(node.Name+" takes mail again", within, func() error {
			if n.acceptedSince(up, node) == 0 {
				return errors.New("it does not")
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	took := time.Since(up)
	n.measured.back = max(n.measured.back, took)
	fmt.Printf("%s: both nodes take mail again after %.1f s\n", what, took.Seconds())
	return nil
}

// leasesEnd ends the time of all leases: the clock of Redis cannot be moved.
func (n *nodeStage) leasesEnd() error {
	return n.servers.redis.Do("EVAL", "for _, k in ipairs(redis.call('KEYS', 'pec:lease:*')) do redis.call('PEXPIRE', k, 1) end return 1", "0")
}
