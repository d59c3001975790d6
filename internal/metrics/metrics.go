// Package metrics counts and measures what a daemon does, for Prometheus.
//
// Each metric is declared at the top of the file that counts it, with its help
// text, and has its unit in its name. None has an address, a subject or an
// identifier of a message: metrics are read by people, and kept on machines, that
// certified mail is no business of.
package metrics

import (
	"fmt"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/pec-milter/pec-milter/internal/effect"
	"github.com/pec-milter/pec-milter/internal/point"
)

// Metrics are those of one daemon. It is safe for concurrent use.
type Metrics struct {
	now      func() time.Time
	registry *prometheus.Registry

	effects  *prometheus.HistogramVec
	failures *prometheus.CounterVec
	messages *prometheus.CounterVec
	replies  *prometheus.CounterVec
	handling *prometheus.HistogramVec
}

// New makes the metrics of a daemon that counts from now on. now tells the time of
// the machine; state is asked at each scrape.
func New(now func() time.Time, state *State) *Metrics {
	m := &Metrics{
		now:      now,
		registry: prometheus.NewRegistry(),
		effects:  prometheus.NewHistogramVec(effectDuration, []string{"effect"}),
		failures: prometheus.NewCounterVec(effectFailures, []string{"effect"}),
		messages: prometheus.NewCounterVec(messages, []string{"door", "kind", "outcome"}),
		replies:  prometheus.NewCounterVec(replies, []string{"door", "at", "code"}),
		handling: prometheus.NewHistogramVec(handlingDuration, []string{"door"}),
	}
	m.registry.MustRegister(m.effects, m.failures, m.messages, m.replies, m.handling, &scrape{state},
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	// A rate needs a first value: what has not happened yet has happened 0 times.
	for _, e := range effect.All() {
		m.failures.WithLabelValues(string(e))
	}
	return m
}

// Watch counts what a provider does from now on. Its doors have not been opened
// yet.
func (m *Metrics) Watch(p *point.Provider) {
	effect.Wrap(p, m)
	p.Log, p.Records = log{p.Log, m}, records{p.Records, m}
}

// Handler serves /metrics, and /healthz: 200 while healthy gives no error, else 503.
func (m *Metrics) Handler(healthy func(*http.Request) error) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) {
		if err := healthy(r); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "good")
	})
	return mux
}
