package point_test

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/pec-milter/pec-milter/internal/point"
)

// TestSM08InClear: SM-08, certified mail that comes without TLS is told of, and with
// incoming.require_tls waits until it does. Ordinary mail is none of that.
func TestSM08InClear(t *testing.T) {
	const told = "came in clear"
	for _, c := range []struct {
		name    string
		tls     string
		require bool
		told    bool
		refused bool
	}{
		{"by TLS", "TLSv1.2", true, false, false},
		{"in clear", "", false, true, false},
		{"in clear, TLS required", "", true, true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			check(t, w.beta.submit(&mail{anna, []string{mario}, message(anna, mario)}))
			envelope := w.beta.queue[0]
			var log bytes.Buffer
			w.alfa.provider.Logger = slog.New(slog.NewTextHandler(&log, nil))
			w.alfa.provider.RequireTLS, w.tls = c.require, c.tls
			err := w.alfa.receive(&mail{envelope.from, []string{mario}, envelope.data})
			reply := (*point.Reply)(nil)
			if got := errors.As(err, &reply) && reply.Code == 451; got != c.refused || err != nil && !got {
				t.Errorf("answer is %v, want 451: %v", err, c.refused)
			}
			if got := strings.Contains(log.String(), told); got != c.told {
				t.Errorf("told: %v, want %v; the log has %s", got, c.told, log.String())
			}
			log.Reset()
			err = w.alfa.receive(&mail{"anybody@ordinary.example", []string{mario}, message("anybody@ordinary.example", mario)})
			if strings.Contains(log.String(), told) || errors.As(err, &reply) && reply.Code == 451 {
				t.Errorf("ordinary mail: %v, the log has %s", err, log.String())
			}
		})
	}
}
