// Package explore runs the real state machine of package point through
// everything that can go wrong, exhaustively up to a number of faults: every
// effect may fail, be done and have its answer lost, be the last before the
// process dies, or hang while its caller gives up and tries again; the MTA may
// die before a message is on disk; a 250 may get lost; Redis may forget; a
// client may try again at any time, or never.
//
// A scenario starts from one world. A run carries one action out on a copy of a
// world, from one moment at which nothing runs to the next; worlds that are the
// same are merged. After each run, and where nothing is on its way any more, the
// invariants of invariant.go are checked.
//
// What is simplified: signatures are made once for each digest; SQL and Redis
// are values in memory, held to be what the conformance suites of legallog and
// state show the real ones to be; the queues of MTAs have no order; power fails
// nowhere but where a fate says so.
package explore

import (
	"fmt"
	"strings"
	"sync"
)

// Report is what a search found.
type Report struct {
	Most       int            // faults in an execution
	Worlds     int            // different ones
	Runs       int            // that were carried out
	Faults     map[string]int // runs by the effect that went wrong and how
	Violations []string       // invariants that do not hold, each with the way to it
}

// maxViolations is how many are told before the search ends.
const maxViolations = 5

// search looks through the worlds of one scenario.
type search struct {
	*scenario
	mu     sync.Mutex
	bounds Bounds
	hosts  []*host // one for each worker
	seen   map[fingerprint]*node
	next   []*node // worlds to look at, that took the same number of faults
	later  map[int][]*node
	report Report
}

// Bounds say how far a search goes.
type Bounds struct {
	Faults   int // how many things go wrong at the most
	Attempts int // how often a client tries at the most
	Order    order
	Workers  int
}

// order is in which order an MTA works on its queue.
type order string

// The orders.
const (
	inOrder  order = "in order" // what fails is tried again at once
	deferred order = "deferred" // what fails goes to the end of the queue
	anyOrder order = "any"
)

// node is a world and the way to it.
type node struct {
	*world
	faults int
	from   *node
	how    func() string
	next   []fingerprint // the worlds after it, where nothing goes wrong
	rest   bool          // nothing is on its way
}

// explore looks at every world that s can come to within the bounds.
func (s *scenario) explore(b Bounds) Report {
	if s.most > 0 {
		b.Faults = min(b.Faults, s.most)
	}
	ordered := *s
	ordered.order = b.Order
	x := &search{
		scenario: &ordered, bounds: b, seen: map[fingerprint]*node{}, later: map[int][]*node{}, report: Report{Most: b.Faults, Faults: map[string]int{}},
	}
	for range b.Workers {
		x.hosts = append(x.hosts, newHost())
	}
	x.found(s.start.fingerprint(), &node{world: s.start, how: func() string { return s.name }})
	for faults := 0; faults <= b.Faults; faults++ {
		for len(x.later[faults]) > 0 && len(x.report.Violations) < maxViolations {
			x.next, x.later[faults] = x.later[faults], nil
			x.expandAll()
		}
	}
	if len(x.report.Violations) == 0 {
		x.checkProgress()
	}
	return x.report
}

// expandAll looks at all worlds in next.
func (x *search) expandAll() {
	var wg sync.WaitGroup
	for _, h := range x.hosts {
		wg.Go(func() {
			for n := x.take(); n != nil; n = x.take() {
				x.expand(h, n)
			}
		})
	}
	wg.Wait()
}

func (x *search) take() *node {
	x.mu.Lock()
	defer x.mu.Unlock()
	if len(x.next) == 0 || len(x.report.Violations) >= maxViolations {
		return nil
	}
	n := x.next[len(x.next)-1]
	x.next = x.next[:len(x.next)-1]
	return n
}

// found keeps a world that was not seen before.
func (x *search) found(f fingerprint, n *node) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.seen[f] != nil {
		return
	}
	x.seen[f] = n
	x.report.Worlds++
	x.later[n.faults] = append(x.later[n.faults], n)
}

// expand carries out all that can happen in a world, in all ways.
func (x *search) expand(h *host, n *node) {
	if n.rest = n.atRest(); n.rest {
		r := &run{scenario: x.scenario, w: n.world}
		r.checkRest()
		x.violations(r, n, "nothing is on its way any more")
	}
	blocked := false
	for _, a := range x.actions(n.world, x.bounds) {
		w := x.ways(h, n, a)
		blocked = w.fails(a) || blocked
	}
	if blocked && n.waited < n.faults {
		x.ways(h, n, action{Kind: passes, After: patience})
	}
	if n.faults < x.bounds.Faults && !n.kv.empty() {
		x.ways(h, n, action{Kind: forgets})
	}
	n.world = nil // it has been looked at: the way to it is enough
}

// ways carries out one action with all fates that its moments can have, and
// gives the world where nothing goes wrong.
func (x *search) ways(h *host, n *node, a action) (fine *world) {
	plans := [][]fate{nil}
	for len(plans) > 0 {
		plan := plans[len(plans)-1]
		plans = plans[:len(plans)-1]
		r := x.try(h, n, a, plan)
		if len(plan) == 0 {
			fine = r.w
		}
		for _, branch := range r.branches() {
			if n.faults+used(branch)+r.price() <= x.bounds.Faults {
				plans = append(plans, branch)
			}
		}
	}
	return fine
}

// try carries out one action in one way.
func (x *search) try(h *host, n *node, a action, plan []fate) *run {
	r := &run{scenario: x.scenario, w: n.world.copy(), node: n.world.freeNode(), action: a, plan: plan}
	h.perform(r)
	x.count(r)
	x.violations(r, n, r.how(a))
	price := used(plan) + r.price()
	f := r.w.fingerprint()
	x.found(f, &node{world: r.w, faults: n.faults + price, from: n, how: func() string { return r.how(a) }})
	if price == 0 {
		n.next = append(n.next, f)
	}
	return r
}

// checkProgress: from every world all comes to rest, where nothing more goes
// wrong.
func (x *search) checkProgress() {
	before := map[fingerprint][]fingerprint{}
	var rest []fingerprint
	for f, n := range x.seen {
		for _, next := range n.next {
			before[next] = append(before[next], f)
		}
		if n.rest {
			rest = append(rest, f)
		}
	}
	reaches := map[fingerprint]bool{}
	for len(rest) > 0 {
		f := rest[len(rest)-1]
		rest = rest[:len(rest)-1]
		if !reaches[f] {
			reaches[f] = true
			rest = append(rest, before[f]...)
		}
	}
	for f, n := range x.seen {
		if !reaches[f] && len(x.report.Violations) < maxViolations {
			x.violations(&run{violated: []string{"stuck: what is on its way never arrives"}}, n, "")
		}
	}
}

// branches are the plans that differ from that of r in one more fault, after
// those that it has.
func (r *run) branches() [][]fate {
	var plans [][]fate
	for n := len(r.plan); n < len(r.choices); n++ {
		for _, f := range r.choices[n].fates {
			plan := append(make([]fate, 0, n+1), r.plan...)
			for len(plan) < n {
				plan = append(plan, fine)
			}
			plans = append(plans, append(plan, f))
		}
	}
	return plans
}

// price is what the action costs by itself.
func (r *run) price() int {
	if r.action.Kind == forgets {
		return 1
	}
	return 0
}

// used is how many faults a plan has. To hang counts for two: the caller gives
// the step up, and later it goes on all the same.
func used(plan []fate) int {
	n := 0
	for _, f := range plan {
		switch f {
		case fine:
		case hangs:
			n += 2
		default:
			n++
		}
	}
	return n
}

// freeNode is one on which nothing hangs.
func (w *world) freeNode() int {
	free := 0
	for _, h := range w.hung {
		free = max(free, h.node+1)
	}
	return free
}

// how tells what happened in a run.
func (r *run) how(a action) string {
	text := string(a.Kind)
	if a.Letter.Sum != "" {
		text += " to " + a.Letter.To + ": " + r.describe(a.Letter)
	}
	if a.After > 0 {
		text += fmt.Sprintf(", after %v", a.After)
	}
	for n, f := range r.plan {
		if f != fine {
			text += "; " + r.choices[n].what + ": " + string(f)
		}
	}
	return text
}

func (x *search) count(r *run) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.report.Runs++
	for n, f := range r.plan {
		if f != fine {
			x.report.Faults[r.choices[n].what+": "+string(f)]++
		}
	}
	if r.price() > 0 {
		x.report.Faults[string(forgets)]++
	}
}

// violations tells the way to what does not hold.
func (x *search) violations(r *run, n *node, how string) {
	if len(r.violated) == 0 {
		return
	}
	var way []string
	for ; n != nil; n = n.from {
		way = append([]string{n.how()}, way...)
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.report.Violations = append(x.report.Violations,
		strings.Join(r.violated, "\n")+"\n  "+strings.Join(append(way, how), "\n  "))
}
