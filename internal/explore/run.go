package explore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/pec-milter/pec-milter/internal/effect"
	"github.com/pec-milter/pec-milter/internal/point"
)

// fate is what becomes of an effect.
type fate string

// The fates. A process that dies, or hangs, does so right after the effect:
// before it there is nothing that would be different from after the one before.
const (
	fine    fate = ""
	notDone fate = "fails, not done"
	lost    fate = "done, its answer lost"
	dies    fate = "done, then the process dies"
	hangs   fate = "done, then the process hangs and its caller gives it up"
	mtaDies fate = "the MTA dies before it is on disk"
	lost250 fate = "queued, its 250 lost"
)

// constant are the effects that find the same whenever they are asked: to hang
// after one of them is no different from hanging after the one before. reads are
// those whose answer may be out of date when a step that hung goes on. Neither
// leaves a trace: whether they were done or not makes no difference.
var (
	constant = []effect.Effect{effect.Directory, effect.Scan, effect.Key, effect.Sign, effect.Submission, effect.Verdict, change}
	reads    = []effect.Effect{
		effect.LogLogged, effect.LogFailed, effect.LogEnded, effect.LatestIntent, effect.Intent, effect.Outcome, effect.Waits,
	}
)

// fates are what can become of an effect. Nobody looks at the answer of a
// release.
func fates(e effect.Effect) []fate {
	fates := []fate{notDone}
	if !slices.Contains(constant, e) && !slices.Contains(reads, e) {
		fates = append(fates, dies)
		if e != effect.Release {
			fates = append(fates, lost)
		}
	}
	if !slices.Contains(constant, e) {
		fates = append(fates, hangs)
	}
	return fates
}

var errFault = errors.New("a fault of the explorer")

// run carries out one action on a copy of a world, with the fates of a plan.
type run struct {
	*scenario
	*host
	w       *world
	node    int // on which it runs; another than those on which steps hang
	action  action
	plan    []fate   // of the first choices; fine for all that come after
	choices []choice // that there were
	log     []answer
	replay  []answer // of a step that had hung: it is told the same again first
	resumed bool     // it goes on although nobody waits for it
	// repeating: the effect was done already, and only its answer is wanted.
	repeating bool
	at        *step // of what the host remembers; nil: nothing is remembered
	ended     fate  // dies or hangs: nothing has an effect any more
	violated  []string
}

// choice is an effect, or another moment at which something can go wrong.
type choice struct {
	what  string
	fates []fate
}

// answer is what an effect gave, or the clock.
type answer struct {
	value any
	err   error
}

// stop unwinds a step that has died or hangs.
type stop struct{}

// choose gives what the plan has for this moment.
func (r *run) choose(what string, fates ...fate) fate {
	chosen := fine
	if n := len(r.choices); n < len(r.plan) {
		chosen = r.plan[n]
	}
	r.choices = append(r.choices, choice{what, fates})
	return chosen
}

// Around is effect.Interceptor.
func (r *run) Around(_ context.Context, e effect.Effect, do func() (any, error)) (any, error) {
	if r.ended != fine {
		return nil, errFault
	}
	r.at = r.at.asks(e, do)
	if len(r.replay) > 0 {
		return r.repeat(e, do)
	}
	return r.effect(e, do)
}

// effect lets an effect have its fate.
func (r *run) effect(e effect.Effect, do func() (any, error)) (any, error) {
	if e == clock {
		return r.answer(do())
	}
	chosen := r.choose(string(e), fates(e)...)
	if chosen == notDone {
		return r.answer(nil, errFault)
	}
	value, err := do()
	switch chosen {
	case lost:
		return r.answer(nil, errFault)
	case dies, hangs:
		r.answer(value, err)
		r.end(chosen)
	}
	return r.answer(value, err)
}

func (r *run) answer(value any, err error) (any, error) {
	a := answer{value, err}
	r.log, r.at = append(r.log, a), r.at.told(a)
	return value, err
}

// repeat answers as before. What a lease gives must be bound to the world as it
// is now.
func (r *run) repeat(e effect.Effect, do func() (any, error)) (any, error) {
	a := r.replay[0]
	r.replay = r.replay[1:]
	if granted, ok := a.value.(interface{ Granted() bool }); ok && granted.Granted() {
		r.repeating = true
		a.value, a.err = do()
		r.repeating = false
	}
	return r.answer(a.value, a.err)
}

func (r *run) end(how fate) {
	r.ended = how
	panic(stop{})
}

// resume makes this the run of a step that hung: it is told again what it was
// told, then goes on in the world as it is now.
func (r *run) resume() {
	n := slices.IndexFunc(r.w.hung, func(h *hung) bool { return h.name == r.action.Hung })
	h := r.w.hung[n]
	r.w.hung = slices.Delete(r.w.hung, n, n+1)
	r.resumed, r.replay, r.node, r.action = true, h.log, h.node, h.action
}

// unwound settles what a step that died or hangs leaves behind.
func (r *run) unwound() {
	switch p := recover(); p.(type) {
	case nil:
	case stop:
		if r.ended == dies {
			r.w.kv.restart(r.node)
			return
		}
		r.w.hung = append(r.w.hung, &hung{r.action, r.log, r.node, r.hungName()})
	default:
		panic(p)
	}
}

// hungName tells steps that hang apart: by what they do, and what they know.
func (r *run) hungName() fingerprint {
	parts := []any{r.action}
	for _, a := range r.log {
		parts = append(parts, a.known())
	}
	return fingerprintOf(parts...)
}

// failure is the text of an error.
type failure string

// known is an answer as far as it can differ.
func (a answer) known() any {
	if a.err != nil {
		return failure(a.err.Error())
	}
	switch value := a.value.(type) {
	case *point.Intent:
		return *value
	case *point.Outcome:
		return *value
	case *point.Judgement:
		return *value
	case bool, []bool, time.Time, string, point.Outcome, point.Wait, []point.Wait:
		return value
	case interface{ Granted() bool }:
		return value.Granted()
	}
	return nil // what never changes
}

// violate notes that an invariant does not hold.
func (r *run) violate(format string, args ...any) {
	r.violated = append(r.violated, fmt.Sprintf(format, args...))
}
