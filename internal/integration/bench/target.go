package main

import (
	"fmt"
	"slices"
)

// target is a ratio that was set out to be reached, and what was measured.
type target struct {
	What     string  `json:"what"`
	Wanted   string  `json:"wanted"`
	Measured float64 `json:"measured"`
	Reached  bool    `json:"reached"`
}

// busy are the sessions that throughput is compared at.
const busy = 10

// targets are those that this run can tell of.
func (r *results) targets() (all []target) {
	for _, one := range []func() *target{
		func() *target { return r.reaches(certified, 0.85) },
		func() *target { return r.reaches(roundTrip, 0.80) },
		r.withSlowToken, r.withLog, r.againstAmavis, r.processorTime, r.tcpLatency, r.crowdMemory, r.largeAccept,
	} {
		if t := one(); t != nil {
			all = append(all, *t)
		}
	}
	return all
}

func atLeast(what string, bound, value float64) *target {
	return &target{what, fmt.Sprintf("≥ %.2f", bound), value, value >= bound}
}

func atMost(what string, bound, value float64) *target {
	return &target{what, fmt.Sprintf("≤ %.2f", bound), value, value <= bound}
}

func (r *results) reaches(variant string, bound float64) *target {
	if s := r.rate(variant, busy); s != nil {
		return atLeast(variant+": of its roofline", bound, s.OfRoofline.Median)
	}
	return nil
}

// withSlowToken compares at the sessions at which a token must be the bottleneck.
func (r *results) withSlowToken() *target {
	if s := r.rate(withSlowToken, 20); s != nil {
		return atLeast(withSlowToken+", 20 sessions: of what the token or the roofline allows", 0.90, s.OfRoofline.Median)
	}
	return nil
}

// withLog is what the legal log leaves.
func (r *results) withLog() *target {
	return r.against(withoutLog, "pec-milter's messages per second, of those without a legal log", 0.90)
}

func (r *results) againstAmavis() *target {
	return r.against(amavis, "pec-milter's messages per second, of amavis's", 2.5)
}

// against compares the throughput with another variant's, round by round.
func (r *results) against(variant, what string, bound float64) *target {
	var ratios []float64
	for _, s := range r.Samples {
		if other := r.sample(s.Round, variant, busy); s.Variant == certified && s.Sessions == busy && other != nil {
			ratios = append(ratios, s.rate()/other.rate())
		}
	}
	if ratios == nil {
		return nil
	}
	return atLeast(what, bound, quantile(ratios, 0.5))
}

func (r *results) processorTime() *target {
	s := r.rate(certified, busy)
	if s == nil {
		return nil
	}
	return atMost("CPU time of pec-milter, of that of its signatures", 1.5, s.CPU["pec-milter"]/(s.Signatures*r.KeysCPU[keyFile].Median))
}

func (r *results) tcpLatency() *target {
	over, unix := r.rate(overTCP, 1), r.rate(certified, 1)
	if over == nil || unix == nil {
		return nil
	}
	return atMost("time to accept over TCP, of that over a unix socket (p50, one session)", 1.5, over.P50/unix.P50)
}

func (r *results) crowdMemory() *target {
	if r.CrowdPeak == 0 {
		return nil
	}
	return atMost("peak memory with 20 messages of 100 MB at once, MiB", 64, float64(r.CrowdPeak)/(1<<20))
}

// largeAccept compares at the largest size that was measured, if it is large.
func (r *results) largeAccept() *target {
	size := int64(0)
	for _, s := range r.Growth {
		size = max(size, s.Size)
	}
	ours, theirs := r.accepts(certified, size), r.accepts(openDKIM, size)
	if size < 30_000_000 || ours == nil || theirs == nil {
		return nil
	}
	return atMost(fmt.Sprintf("time to accept %d MB, of OpenDKIM's", size/1_000_000), 1.3, quantile(ours, 0.5)/quantile(theirs, 0.5))
}

// accepts are the times to accept messages of a size with one recipient.
func (r *results) accepts(variant string, size int64) (times []float64) {
	for _, s := range r.Growth {
		if s.Variant == variant && s.Size == size && s.Recipients == 1 {
			times = slices.Concat(times, s.Accepts)
		}
	}
	return times
}
