package metrics

import (
	"context"
	"errors"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pec-milter/pec-milter/internal/effect"
	"github.com/pec-milter/pec-milter/internal/point"
)

var (
	effectDuration = prometheus.HistogramOpts{
		Name: "pec_milter_effect_duration_seconds",
		Help: "How long each step out of the program took, by its name: sign, scan, store, inject, log-append and others.",
		// A lookup in SQLite takes microseconds, a scan or a hung token minutes.
		Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 120},
	}
	effectFailures = prometheus.CounterOpts{
		Name: "pec_milter_effect_failures_total",
		Help: "Steps out of the program that failed, by name. What was not found, or refused by a server, is no failure.",
	}
)

var _ effect.Interceptor = (*Metrics)(nil)

// Around is effect.Interceptor: it does every effect, and measures it.
func (m *Metrics) Around(_ context.Context, e effect.Effect, do func() (any, error)) (any, error) {
	began := m.now()
	v, err := do()
	m.effects.WithLabelValues(string(e)).Observe(m.now().Sub(began).Seconds())
	if isFailure(err) {
		m.failures.WithLabelValues(string(e)).Inc()
	}
	return v, err
}

// isFailure: the absence of a record, somebody who was faster, and a server's
// refusal are answers.
func isFailure(err error) bool {
	return err != nil && !errors.Is(err, point.ErrUnknown) && !errors.Is(err, point.ErrConflict) && !errors.As(err, new(*point.Reply))
}
