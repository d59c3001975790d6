package metrics

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pec-milter/pec-milter/internal/point"
)

var (
	replies = prometheus.CounterOpts{
		Name: "pec_milter_replies_total",
		Help: "What a door told the MTA, by door, by when (MAIL, RCPT, DATA, end of message, delivery) and by SMTP code. 250 is counted for whole messages " +
			"only, at the delivery door for each recipient; mail of ordinary domains is not counted.",
	}
	handlingDuration = prometheus.HistogramOpts{
		Name:    "pec_milter_message_duration_seconds",
		Help:    "How long a door worked on a message after the MTA had shown the whole of it, by door.",
		Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120, 240, 480},
	}
)

// Replied gives what a door's front end calls for each reply: at says when in the
// transaction, code is the SMTP code. took is how long a whole message was worked
// on; 0: it was no whole message.
func (m *Metrics) Replied(door point.Door) func(at string, code int, took time.Duration) {
	return func(at string, code int, took time.Duration) {
		m.replies.WithLabelValues(string(door), at, strconv.Itoa(code)).Inc()
		if took > 0 {
			m.handling.WithLabelValues(string(door)).Observe(took.Seconds())
		}
	}
}
