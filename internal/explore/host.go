package explore

import (
	"context"
	"fmt"
	"time"

	"github.com/pec-milter/pec-milter/internal/effect"
)

// host is where one search's runs have the doors' code, one run at a time. What
// the code asks for next follows from what it was told so far: it has no clock
// and no random numbers of its own. So the host remembers that, and for what it
// has seen before it need not run the code, which parses and signs, again.
type host struct {
	*run  // the present one
	known map[string]*step
}

func newHost() *host { return &host{known: map[string]*step{}} }

// clock is the clock as an effect, which cannot fail.
const clock effect.Effect = "clock"

// change is what the MTA is told of a message, before SENT.
const change effect.Effect = "change of the message"

// step is the place between two answers: what the code does next.
type step struct {
	effect effect.Effect
	do     func() (any, error) // nil: not known, or it ends here
	next   map[any]*step       // by what is known of the answer
	ended  bool
	result any
	made   made // what the code hands over here, once it was looked at
}

// made is a message that the code has made, taken apart.
type made struct{ trace, sum string }

// asks notes what the code asks for here.
func (s *step) asks(e effect.Effect, do func() (any, error)) *step {
	if s == nil {
		return nil
	}
	if s.do == nil {
		s.effect, s.do = e, do
	}
	if s.effect != e {
		panic(fmt.Sprintf("the code asks for %s where it asked for %s: it is not deterministic", e, s.effect))
	}
	return s
}

// told is the step after an answer.
func (s *step) told(a answer) *step {
	if s == nil {
		return nil
	}
	known := a.known()
	switch known.(type) {
	case nil, bool, string, failure, time.Time:
	default:
		known = fingerprintOf(known)
	}
	if s.next == nil {
		s.next = map[any]*step{}
	}
	if s.next[known] == nil {
		s.next[known] = &step{}
	}
	return s.next[known]
}

// perform carries out a run.
func (h *host) perform(r *run) {
	h.run, r.host = r, h
	defer r.unwound()
	if r.action.Kind == goesOn {
		r.resume()
	}
	r.action.do(r)
}

// Around makes the host the interceptor around the effects of all its runs.
func (h *host) Around(ctx context.Context, e effect.Effect, do func() (any, error)) (any, error) {
	return h.run.Around(ctx, e, do)
}

// clock is read through the present run.
func (h *host) clock() time.Time {
	now, _ := h.run.Around(context.Background(), clock, func() (any, error) { return h.run.w.now, nil })
	t, _ := now.(time.Time) // the zero value for a run that has ended
	return t
}

// code gives what the doors' code comes to: by what is remembered of it as far as
// that goes, and from there by the code itself. A step that goes on after it hung
// is always the code.
func (r *run) code(call func() any) any {
	if r.resumed {
		return call()
	}
	name := fmt.Sprint(r.action.Kind, r.action.Letter)
	begin := r.host.known[name]
	if begin == nil {
		begin = &step{}
		r.host.known[name] = begin
	}
	r.at = begin
	for r.at.do != nil {
		r.effect(r.at.effect, r.at.do)
	}
	if !r.at.ended { // told something new: the code is told all of it again, and goes on
		r.replay, r.log, r.at = r.log, nil, begin
		result := call()
		r.at.ended, r.at.result = true, result
	}
	result := r.at.result
	r.at = nil
	return result
}

// once takes a message apart that the code hands over. At one step, which
// follows from what the code was told, it is always the same message.
func (h *host) once(read func() made) made {
	if h.at == nil {
		return read()
	}
	if h.at.made == (made{}) {
		h.at.made = read()
	}
	return h.at.made
}
