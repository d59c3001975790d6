//go:build integration

package integration

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// metricsSocket is where a story has the metrics, beside the configuration.
const metricsSocket = "state/metrics.sock"

// scrape prints the metrics of a daemon, as Prometheus reads them.
func (s *stage) scrape(out *bytes.Buffer, _ *testscript.TestScript, args []string) error {
	p, err := s.provider(args[0])
	if err != nil {
		return err
	}
	client := http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", p.daemonFile(metricsSocket))
		},
		DisableKeepAlives: true,
	}}
	answer, err := client.Get("http://localhost/metrics")
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("/metrics: %s", answer.Status)
	}
	_, err = io.Copy(out, answer.Body)
	return err
}

// unsaid makes sure that neither the daemon's log nor its metrics have one of the
// texts, in any case.
func (s *stage) unsaid(_ *bytes.Buffer, ts *testscript.TestScript, args []string) error {
	p, err := s.provider(args[0])
	if err != nil {
		return err
	}
	var said bytes.Buffer
	if err := s.scrape(&said, ts, args[:1]); err != nil {
		return err
	}
	log, err := os.ReadFile(p.LogFile())
	if err != nil {
		return err
	}
	said.Write(log)
	for line := range strings.Lines(said.String()) {
		for _, text := range args[1:] {
			if strings.Contains(strings.ToLower(line), text) {
				return fmt.Errorf("%q is said: %s", text, line)
			}
		}
	}
	return nil
}
