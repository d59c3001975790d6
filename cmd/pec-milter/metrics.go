package main

import (
	"context"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/pec-milter/pec-milter/internal/config"
	"github.com/pec-milter/pec-milter/internal/metrics"
	"github.com/pec-milter/pec-milter/milter"
)

// measured counts what the services do from now on, if metrics are wanted; nil: they
// are not.
func (s *services) measured(c *config.Metrics, keeper *logKeeper) *metrics.Metrics {
	if c.Listen.Network == "" {
		return nil
	}
	m := metrics.New(time.Now, s.measuredState(keeper))
	m.Watch(s.provider)
	return m
}

// measuredState answers at each scrape, from what the services have at hand.
func (s *services) measuredState(keeper *logKeeper) *metrics.State {
	trust, signer := s.revocations, s.signer
	state := &metrics.State{
		Now: s.provider.Clock, Directory: s.directory.Written,
		Revocations: func() ([]*x509.RevocationList, error) {
			now, err := trust.Current()
			if err != nil {
				return nil, err
			}
			return now.Revocations, nil
		},
		Seal: func() (metrics.Seal, bool) {
			age := keeper.age.Load()
			if age == nil {
				return metrics.Seal{}, false
			}
			return metrics.Seal(*age), true
		},
		Pending: func(ctx context.Context, now time.Time) (metrics.Pending, error) {
			p, err := s.log.Pending(ctx, now)
			return metrics.Pending(p), err
		},
		Certificate: func() (*x509.Certificate, error) {
			_, chain, err := signer.Current()
			if err != nil {
				return nil, err
			}
			return chain[0], nil
		},
		Tokens: func() (all []metrics.Token) {
			for _, use := range signer.Tokens() {
				all = append(all, metrics.Token(use))
			}
			return all
		},
		Clock: func() (time.Duration, bool, error) {
			r, err := readClock()
			return r.Error, r.Kept, err
		},
	}
	if s.clamd != nil {
		state.Antivirus = func(ctx context.Context) (time.Time, error) {
			_, _, base, err := s.clamd.Version(ctx)
			return base, err
		}
	}
	return state
}

// listenMetrics opens the socket of the metrics; nil: there is none.
func listenMetrics(c *config.Config) (net.Listener, error) {
	switch c.Metrics.Listen.Network {
	case "":
		return nil, nil
	case "tcp": // the configuration allows this address
		return net.Listen("tcp", c.Metrics.Listen.Address)
	}
	return milter.Listen(c.Metrics.Listen.String(), c.MTA.SocketGroup)
}

// scrapeTime bounds one request for metrics.
const scrapeTime = 10 * time.Second

// serveMetrics serves metrics until it is stopped.
func serveMetrics(c *config.Config, m *metrics.Metrics, l net.Listener, log *slog.Logger) (stop func()) {
	if m == nil {
		return func() {}
	}
	server := &http.Server{
		Handler:     m.Handler(func(r *http.Request) error { return doorsAnswer(r.Context(), c) }),
		ReadTimeout: scrapeTime, WriteTimeout: 3 * scrapeTime, IdleTimeout: 5 * time.Minute, MaxHeaderBytes: 16 << 10,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug), // of broken requests
	}
	go func() {
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			log.Error("metrics are no longer served: restart the daemon when it suits", "error", err)
		}
	}()
	log.Info("metrics served", "socket", l.Addr().String())
	return func() { server.Close() }
}
