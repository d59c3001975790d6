package main

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"github.com/pec-milter/pec-milter/internal/config"
	"github.com/pec-milter/pec-milter/internal/legallog"
	"github.com/pec-milter/pec-milter/internal/point"
	"github.com/pec-milter/pec-milter/internal/tsa"
)

// stampTime is how long a time-stamping authority may take to answer.
const stampTime = 30 * time.Second

// openTSA is the time-stamping authority of the configuration; nil without one.
func openTSA(c *config.LegalLog) (*tsa.Authority, error) {
	if c.TSA == "" {
		return nil, nil
	}
	authorities, err := os.ReadFile(c.TSACA)
	if err != nil {
		return nil, &exit{exitConfig, fmt.Errorf("legal_log.tsa_ca: %w", err)}
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(authorities) {
		return nil, &exit{exitConfig, fmt.Errorf("legal_log.tsa_ca: %s has no certificate in PEM", c.TSACA)}
	}
	return &tsa.Authority{URL: c.TSA, Roots: roots, Policy: c.TSAPolicy.Numbers, Timeout: stampTime, Rand: rand.Reader}, nil
}

// sealer seals the legal log of the services.
func (s *services) sealer(c *config.LegalLog) (*legallog.Sealer, error) {
	authority, err := openTSA(c)
	if err != nil {
		return nil, err
	}
	sealer := &legallog.Sealer{
		Log: s.log, Directory: c.Directory, MaxRows: c.MaxRows, Signer: s.provider.Signer, Logger: s.provider.Logger,
	}
	if authority != nil {
		sealer.Stamp = func(ctx context.Context, digest [32]byte) ([]byte, error) {
			return authority.Ask(ctx, digest, s.provider.Clock())
		}
	}
	return sealer, nil
}

// logKeeper keeps the legal log: it anchors its head, makes its partitions, seals it.
type logKeeper struct {
	log    *legallog.Log
	sealer *legallog.Sealer
	config *config.LegalLog
	clock  point.Clock
	logger *slog.Logger

	age         atomic.Pointer[legallog.Age] // as it was looked at last; nil: not yet
	anchored    legallog.Head
	partitioned time.Time // when the partitions were made
	alarmed     time.Time // when it was told that something is late
}

// logKeeper is that of the services.
func (s *services) logKeeper(c *config.LegalLog) (*logKeeper, error) {
	sealer, err := s.sealer(c)
	if err != nil {
		return nil, err
	}
	if sealer.Stamp == nil {
		s.provider.Logger.Warn("no legal_log.tsa: the seals of the legal log get no time stamp, which the law asks for")
	}
	return &logKeeper{log: s.log, sealer: sealer, config: c, clock: s.provider.Clock, logger: s.provider.Logger,
		anchored: s.log.Known()}, nil
}

// witnessed makes sure that there is something outside of the database that knows of
// the node's rows: where nothing does, an older state of the database would not be
// noticed, and rows be written with the numbers of others that are sealed.
func (s *services) witnessed(c *config.LegalLog) error {
	if s.log.Known().Seq > 0 {
		return nil
	}
	_, err := os.Stat(c.Anchors)
	if err == nil || !errors.Is(err, os.ErrNotExist) {
		return err
	}
	head, err := s.log.Head(context.Background())
	if err != nil {
		return err
	}
	if head.Seq > 0 {
		return &exit{exitConfig, fmt.Errorf("the legal log has rows of node %s, but legal_log.directory has no seal of it, and legal_log.anchors "+
			"is not there: bring both back from their backup before anything is written; if they are lost, make an empty file %s", head.Node, c.Anchors)}
	}
	return legallog.AppendAnchor(c.Anchors, head, s.provider.Clock())
}

// work does what is due, every minute. What fails is tried again; the doors go on.
func (k *logKeeper) work(ctx context.Context) {
	now := k.clock()
	for what, do := range map[string]func(context.Context, time.Time) error{
		"anchor its head": k.anchor, "make its partitions": k.partition, "seal it": k.seal,
	} {
		err := recovered(ctx, func(ctx context.Context) error { return do(ctx, now) })
		if err != nil && ctx.Err() == nil {
			k.logger.Error("legal log not kept as it should be, trying again in a minute", "what", what, "error", err)
		}
	}
}

// anchor writes the head outside the database: into a file, and into the daemon's
// log, which may be kept on another machine.
func (k *logKeeper) anchor(ctx context.Context, now time.Time) error {
	head, err := k.log.Head(ctx)
	if err != nil || head == k.anchored || head.Seq < k.anchored.Seq {
		return err // of a database that was restored, nothing is anchored before it goes on
	}
	k.logger.Info("head of the legal log", "node", head.Node, "seq", head.Seq, "hash", head.Hash)
	if err := legallog.AppendAnchor(k.config.Anchors, head, now); err != nil {
		return err
	}
	k.anchored = head
	return nil
}

// partition makes the partitions of the months to come, once a day.
func (k *logKeeper) partition(ctx context.Context, now time.Time) error {
	if now.Sub(k.partitioned) < 24*time.Hour {
		return nil
	}
	all, err := k.log.MakePartitions(ctx, now)
	if err != nil {
		return err
	}
	if !all {
		k.logger.Warn("a month of the legal log has no partition of its own: its rows are in the one for all others")
	}
	k.partitioned = now
	return nil
}

// seal seals when a day is over, or when there are many rows, and stamps what has
// no stamp yet.
func (k *logKeeper) seal(ctx context.Context, now time.Time) error {
	age, err := k.sealer.Age(ctx)
	if err != nil {
		return err
	}
	unstamped := k.sealer.Stamp != nil && !age.Unstamped.IsZero()
	if age.Due(now, k.config.MaxRows) || unstamped {
		_, failed := k.sealer.Seal(ctx, now)
		age, err = k.sealer.Age(ctx)
		err = errors.Join(failed, err)
	}
	if err == nil {
		k.age.Store(&age)
	}
	k.alarm(age, now)
	return err
}

// alarm tells once an hour what is late.
func (k *logKeeper) alarm(age legallog.Age, now time.Time) {
	if now.Sub(k.alarmed) < time.Hour {
		return
	}
	if late := age.Late(now, k.config.Late.Duration, k.sealer.Stamp != nil); late != "" {
		k.logger.Error("legal log: sealing is late", "what", late)
		k.alarmed = now
	}
}
