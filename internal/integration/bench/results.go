package main

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

// results is all that was measured, and what follows from it.
type results struct {
	Mode    string    `json:"mode"`
	Began   time.Time `json:"began"`
	Seconds float64   `json:"seconds"`
	Machine machine   `json:"machine"`
	LeftOut []string  `json:"left_out,omitempty"` // what is not installed

	Rates   []rate            `json:"rates"`
	Targets []target          `json:"targets"`
	Keys    map[string]spread `json:"signature_ms"`
	KeysCPU map[string]spread `json:"signature_cpu_ms"`

	Samples   []sample         `json:"samples"`
	Signings  []signing        `json:"signings"`
	Growth    []sample         `json:"growth"`
	Crowd     *sample          `json:"crowd,omitempty"`
	CrowdPeak int64            `json:"crowd_peak_rss_bytes,omitempty"`
	Peaks     map[string]int64 `json:"peak_rss_bytes"` // of the rounds, by provider
}

// machine is where it was measured.
type machine struct {
	Cores     int     `json:"cores"`
	Processor string  `json:"processor"`
	Kernel    string  `json:"kernel"`
	Go        string  `json:"go"`
	LoadFirst float64 `json:"load_at_start"` // before anything of ours ran
	LoadLast  float64 `json:"load_at_end"`
}

func thisMachine() machine {
	m := machine{Cores: runtime.NumCPU(), Go: runtime.Version(), LoadFirst: load()}
	info, _ := os.ReadFile("/proc/cpuinfo") // empty where it cannot be read
	for line := range strings.Lines(string(info)) {
		if name, value, _ := strings.Cut(line, ":"); strings.TrimSpace(name) == "model name" {
			m.Processor = strings.TrimSpace(value)
		}
	}
	var u syscall.Utsname
	if syscall.Uname(&u) == nil {
		for _, c := range u.Release {
			if c != 0 {
				m.Kernel += string(rune(c))
			}
		}
	}
	return m
}

// rate is what a variant did at some sessions, over all rounds.
type rate struct {
	Variant  string `json:"variant"`
	Sessions int    `json:"sessions"`

	PerSecond spread `json:"messages_per_second"`
	VsPlain   spread `json:"of_plain"` // in the same round
	// Roofline and what was reached of it, in the same round.
	Roofline   spread `json:"roofline"`
	OfRoofline spread `json:"of_roofline"`

	Passes     float64            `json:"queue_passes"`
	Signatures float64            `json:"signatures"`
	CPU        map[string]float64 `json:"cpu_ms_by_process"` // medians, for each message
	P50        float64            `json:"accept_p50_ms"`     // over all messages of all rounds
	P99        float64            `json:"accept_p99_ms"`
	AddedP50   float64            `json:"added_p50_ms"` // to those of plain
	AddedP99   float64            `json:"added_p99_ms"`
}

// conclude draws the rates from the samples.
func (r *results) conclude() {
	r.Keys, r.KeysCPU = map[string]spread{}, map[string]spread{}
	for _, name := range []string{keyFile, softHSM} {
		var took, busy []float64
		for _, s := range r.Signings {
			if s.Key == name {
				took, busy = append(took, s.Milliseconds), append(busy, s.CPU)
			}
		}
		r.Keys[name], r.KeysCPU[name] = spreadOf(took), spreadOf(busy)
	}
	var done []string
	for _, s := range r.Samples {
		name := s.key()
		if !slices.Contains(done, name) {
			done = append(done, name)
			r.Rates = append(r.Rates, r.rateOf(s.Variant, s.Sessions))
		}
	}
	r.addLatency()
	slices.SortFunc(r.Rates, compareRates)
	r.Targets = r.targets()
}

func (s *sample) key() string { return fmt.Sprint(s.Variant, "/", s.Sessions) }

func (r *results) rateOf(variant string, sessions int) rate {
	out := rate{Variant: variant, Sessions: sessions, CPU: map[string]float64{}}
	var perSecond, vsPlain, roofs, reached, passes, signatures, accepts []float64
	busy := map[string][]float64{}
	for _, s := range r.Samples {
		if s.Variant != variant || s.Sessions != sessions {
			continue
		}
		perSecond, accepts = append(perSecond, s.rate()), append(accepts, s.Accepts...)
		passes, signatures = append(passes, s.Passes), append(signatures, s.Signatures)
		for name, t := range s.CPU {
			busy[name] = append(busy[name], t)
		}
		if base := r.sample(s.Round, plain, sessions); base != nil {
			roof := roofline(s.Passes, base.rate(), s.Signatures, r.signature(s.Round, keyOf(variant)), r.Machine.Cores)
			if variant == withSlowToken {
				roof = min(roof, r.tokenRate(s.Round)/s.Signatures)
			}
			vsPlain, roofs, reached = append(vsPlain, s.rate()/base.rate()), append(roofs, roof), append(reached, s.rate()/roof)
		}
	}
	out.PerSecond, out.VsPlain, out.Roofline, out.OfRoofline = spreadOf(perSecond), spreadOf(vsPlain), spreadOf(roofs), spreadOf(reached)
	out.Passes, out.Signatures = quantile(passes, 0.5), quantile(signatures, 0.5)
	out.P50, out.P99 = quantile(accepts, 0.5), quantile(accepts, 0.99)
	for name, times := range busy {
		out.CPU[name] = quantile(times, 0.5)
	}
	return out
}

// keyOf is the key source of a variant.
func keyOf(variant string) string {
	switch variant {
	case withToken, withSlowToken: // the slow one waits, and then is SoftHSM
		return softHSM
	}
	return keyFile
}

// tokenRate is how many signatures the slow token made in a second, in a round.
func (r *results) tokenRate(round int) float64 {
	for _, s := range r.Signings {
		if s.Round == round && s.Key == slowToken {
			return float64(s.Signatures) / s.Seconds
		}
	}
	return 0
}

// sample finds that of a round; nil if there is none.
func (r *results) sample(round int, variant string, sessions int) *sample {
	for i := range r.Samples {
		if s := &r.Samples[i]; s.Round == round && s.Variant == variant && s.Sessions == sessions {
			return s
		}
	}
	return nil
}

// signature is the CPU time of one signature in a round, in seconds: what it takes
// on a core that is its own. The time by the clock has the waiting of a few threads
// beside all that runs on a busy machine, and would make the roofline low.
func (r *results) signature(round int, key string) float64 {
	for _, s := range r.Signings {
		if s.Round == round && s.Key == key {
			return s.CPU / 1000
		}
	}
	return 0
}

func (r *results) addLatency() {
	for i := range r.Rates {
		if base := r.rate(plain, r.Rates[i].Sessions); base != nil {
			r.Rates[i].AddedP50, r.Rates[i].AddedP99 = r.Rates[i].P50-base.P50, r.Rates[i].P99-base.P99
		}
	}
}

// rate finds that of a variant; nil if there is none.
func (r *results) rate(variant string, sessions int) *rate {
	for i := range r.Rates {
		if r.Rates[i].Variant == variant && r.Rates[i].Sessions == sessions {
			return &r.Rates[i]
		}
	}
	return nil
}

// order is that of the variants in tables.
var order = []string{plain, noop, openDKIM, amavis, certified, overTCP, withToken, withSlowToken, onServers, withoutLog, roundTrip}

func compareRates(a, b rate) int {
	if a.Sessions != b.Sessions {
		return a.Sessions - b.Sessions
	}
	return slices.Index(order, a.Variant) - slices.Index(order, b.Variant)
}
