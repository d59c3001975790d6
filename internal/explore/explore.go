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
)

// Report is what a search found.
type Report struct {
	Worlds     int            // different ones
	Runs       int            // that were carried out
	Faults     map[string]int // runs by the effect that went wrong and how
	Ends       map[string]int // what has arrived where all is at rest: the fewest faults that lead there
	Violations []string       // invariants that do not hold, each with the way to it
}

// maxViolations is how many are told before the search ends.
const maxViolations = 5

// search looks through the worlds of one scenario, one after the other: so that
// the counts are the same each time. Scenarios share nothing that changes, so
// that several may be searched at the same time.
type search struct {
	*scenario
	*host
	bounds Bounds
	seen   map[fingerprint]*node
	all    []*node         // in the order in which they were found
	next   map[int][]*node // worlds to look at, by the number of faults they took
	report Report
}

// Bounds say how far a search goes.
type Bounds struct {
	Faults   int // how many things go wrong at the most
	Attempts int // how often a client tries at the most
	Order    order
	// Whole worlds are those of which nothing is forgotten and in which nothing is
	// put first: there are many more, and they come to the same ends.
	Whole bool
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
	deed   deed
	next   []*node // the worlds after it, where nothing goes wrong
	rest   bool    // nothing is on its way
}

// deed is an action and what went wrong in it.
type deed struct {
	action
	wrong []string
}

// explore looks at every world that s can come to within the bounds.
func (s *scenario) explore(b Bounds) Report {
	ordered := *s
	ordered.order = b.Order
	x := &search{
		scenario: &ordered, host: newHost(), bounds: b, seen: map[fingerprint]*node{}, next: map[int][]*node{},
		report: Report{Faults: map[string]int{}, Ends: map[string]int{}},
	}
	x.found(&node{world: s.start})
	for faults := 0; faults <= b.Faults; faults++ {
		for n := x.take(faults); n != nil; n = x.take(faults) {
			x.expand(n)
		}
	}
	if len(x.report.Violations) == 0 {
		x.checkProgress()
	}
	x.report.Worlds = len(x.all)
	return x.report
}

// take gives one of the worlds to look at; nil: there is none, or enough is known.
func (x *search) take(faults int) *node {
	last := len(x.next[faults]) - 1
	if last < 0 || len(x.report.Violations) >= maxViolations {
		return nil
	}
	n := x.next[faults][last]
	x.next[faults] = x.next[faults][:last]
	return n
}

// found gives the node of a world: that which was there already, if it was seen
// before.
func (x *search) found(n *node) *node {
	f := n.fingerprint()
	if before := x.seen[f]; before != nil {
		return before
	}
	x.seen[f] = n
	x.all = append(x.all, n)
	x.next[n.faults] = append(x.next[n.faults], n)
	return n
}

// expand carries out all that can happen in a world, in all ways.
func (x *search) expand(n *node) {
	if n.rest = n.atRest(); n.rest {
		r := &run{scenario: x.scenario, w: n.world}
		x.ends(r.checkRest(), n)
		if len(r.violated) > 0 {
			x.violations(r.violated, n, "nothing is on its way any more")
		}
	}
	first, put := x.first(n.world)
	if !put || x.ways(n, first).fails(first) {
		x.expandRest(n, first)
	}
	n.world = nil // it has been looked at: the way to it is enough
}

// expandRest carries out all but what was put first: then that was in vain.
func (x *search) expandRest(n *node, first action) {
	blocked := first != action{}
	for _, a := range x.actions(n.world, x.bounds) {
		if a != first {
			blocked = x.ways(n, a).fails(a) || blocked
		}
	}
	if blocked && n.waited < n.faults {
		x.ways(n, action{Kind: passes, After: patience})
	}
	if n.faults < x.bounds.Faults && !n.kv.empty() {
		x.ways(n, action{Kind: forgets})
	}
}

// first is an action in whose place among all that can happen there is no
// difference.
func (x *search) first(w *world) (a action, there bool) {
	if x.bounds.Whole {
		return action{}, false
	}
	return x.lastNotice(w)
}

// ends notes what has arrived.
func (x *search) ends(arrived []string, n *node) {
	end := strings.Join(arrived, "\n")
	if _, known := x.report.Ends[end]; !known {
		x.report.Ends[end] = n.faults
	}
}

// ways carries out one action with all fates that its moments can have, and
// gives the world where nothing goes wrong.
func (x *search) ways(n *node, a action) (fine *world) {
	plans := [][]fate{nil}
	for len(plans) > 0 {
		plan := plans[len(plans)-1]
		plans = plans[:len(plans)-1]
		r := x.try(n, a, plan)
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
func (x *search) try(n *node, a action, plan []fate) *run {
	r := &run{scenario: x.scenario, w: n.world.copy(), node: n.world.freeNode(), action: a, plan: plan}
	x.host.perform(r)
	if !x.bounds.Whole {
		r.forget(x.bounds)
	}
	d := deed{a, r.wrong()}
	x.count(d)
	if len(r.violated) > 0 {
		x.violations(r.violated, n, x.how(d))
	}
	price := used(plan) + r.price()
	next := x.found(&node{world: r.w, faults: n.faults + price, from: n, deed: d})
	if price == 0 {
		n.next = append(n.next, next)
	}
	return r
}

// checkProgress: from every world all comes to rest, where nothing more goes
// wrong.
func (x *search) checkProgress() {
	before := map[*node][]*node{}
	var rest []*node
	for _, n := range x.all {
		for _, next := range n.next {
			before[next] = append(before[next], n)
		}
		if n.rest {
			rest = append(rest, n)
		}
	}
	reaches := map[*node]bool{}
	for len(rest) > 0 {
		n := rest[len(rest)-1]
		rest = rest[:len(rest)-1]
		if !reaches[n] {
			reaches[n] = true
			rest = append(rest, before[n]...)
		}
	}
	for _, n := range x.all {
		if !reaches[n] && len(x.report.Violations) < maxViolations {
			x.violations([]string{"stuck: what is on its way never arrives"}, n, "")
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

// wrong is what went wrong in a run.
func (r *run) wrong() []string {
	var wrong []string
	for n, f := range r.plan {
		if f != fine {
			wrong = append(wrong, r.choices[n].what+": "+string(f))
		}
	}
	return wrong
}

// how tells what happened between two worlds.
func (x *search) how(d deed) string {
	text := string(d.Kind)
	if d.Letter.Sum != "" {
		text += " to " + d.Letter.To + ": " + (&run{scenario: x.scenario}).describe(d.Letter)
	}
	if d.After > 0 {
		text += fmt.Sprintf(", after %v", d.After)
	}
	return strings.Join(append([]string{text}, d.wrong...), "; ")
}

func (x *search) count(d deed) {
	x.report.Runs++
	for _, what := range d.wrong {
		x.report.Faults[what]++
	}
	if d.Kind == forgets {
		x.report.Faults[string(forgets)]++
	}
}

// violations tells the way to what does not hold: to n, then last.
func (x *search) violations(violated []string, n *node, last string) {
	way := []string{last}
	for ; n.from != nil; n = n.from {
		way = append([]string{x.how(n.deed)}, way...)
	}
	x.report.Violations = append(x.report.Violations,
		strings.Join(violated, "\n")+"\n  "+strings.Join(append([]string{x.name}, way...), "\n  "))
}
