package metrics

import (
	"cmp"
	"context"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pec-milter/pec-milter/internal/point"
)

var messages = prometheus.CounterOpts{
	Name: "pec_milter_messages_total",
	Help: "Messages and notices, as the legal log has them: by door (access, incoming, delivery), by kind (the notice's X-Ricevuta, " +
		"or message) and by outcome (accepted, received, notification, anomaly, refused, delivered, undelivered, issued).",
}

// log counts what the legal log has taken.
type log struct {
	point.Log
	m *Metrics
}

func (l log) Append(ctx context.Context, events ...point.Event) error {
	return l.m.count(l.Log.Append(ctx, events...), events)
}

// records counts the rows of the legal log that are written with records.
type records struct {
	point.Records
	m *Metrics
}

func (r records) AddIntent(ctx context.Context, intent, last *point.Intent, events ...point.Event) error {
	return r.m.count(r.Records.AddIntent(ctx, intent, last, events...), events)
}

func (r records) PutVerdict(ctx context.Context, verdict point.Judgement, events ...point.Event) error {
	return r.m.count(r.Records.PutVerdict(ctx, verdict, events...), events)
}

func (r records) PutOutcome(ctx context.Context, key point.Key, outcome point.Outcome, settled point.Settlement, events ...point.Event) (point.Outcome, error) {
	recorded, err := r.Records.PutOutcome(ctx, key, outcome, settled, events...)
	return recorded, r.m.count(err, events)
}

// count counts events that were logged without an error, but for those that only
// begin something.
func (m *Metrics) count(err error, events []point.Event) error {
	if err != nil {
		return err
	}
	for _, e := range events {
		if e.Kind != point.EventDelivering && e.Kind != point.EventIssuing {
			m.messages.WithLabelValues(string(e.Door), cmp.Or(string(e.Notice), "message"), string(e.Kind)).Inc()
		}
	}
	return nil
}
