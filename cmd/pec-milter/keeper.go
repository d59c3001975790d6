package main

import (
	"context"
	"errors"
	"hash/fnv"
	"log/slog"
	"os"
	"time"

	"github.com/pec-milter/pec-milter/internal/config"
	"github.com/pec-milter/pec-milter/internal/directory"
	"github.com/pec-milter/pec-milter/internal/point"
)

// keeper fetches the providers directory again and again, and watches the copy in
// use.
type keeper struct {
	syncer  *directory.Syncer // nil: the directory is put there by somebody else
	written func() time.Time  // when the copy in use was
	own     func() error      // what is wrong with our record in it
	// interval is the time between two looks. Each node has its own, so that they do
	// not all fetch at once.
	interval time.Duration
	clock    point.Clock
	logger   *slog.Logger
}

// oldDirectory is the age that is told of: RFC 6109 section 4.5 wants the copy
// updated daily.
const oldDirectory = 48 * time.Hour

func (s *services) keeper(c *config.Config) (*keeper, error) {
	syncer, err := newSyncer(c)
	if err != nil {
		return nil, &exit{exitConfig, err}
	}
	node, err := nodeName(c)
	if err != nil {
		return nil, err
	}
	return &keeper{
		syncer: syncer, written: s.directory.Written, own: func() error { return checkOwnCertificate(s.provider) },
		interval: spread(c.DirectorySync.Interval.Duration, node), clock: s.provider.Clock, logger: s.provider.Logger,
	}, nil
}

// spread makes an interval up to a tenth longer, for each name by another part.
func spread(interval time.Duration, name string) time.Duration {
	const parts = 1000
	hash := fnv.New32a()
	hash.Write([]byte(name))
	return interval + interval/10*time.Duration(hash.Sum32()%parts)/parts
}

// start makes it work at once and then every interval, after a fetch that failed in
// a tenth of it, until ctx is done or it is stopped. stop waits for what is under
// way.
func (k *keeper) start(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for ctx.Err() == nil {
			wait := k.interval
			if !k.work(ctx) {
				wait /= 10
			}
			select {
			case <-ctx.Done():
			case <-time.After(wait):
			}
		}
	}()
	return func() { cancel(); <-ended }
}

// work does what is due, and tells whether the fetch was good.
func (k *keeper) work(ctx context.Context) (good bool) {
	good = true
	if k.syncer != nil {
		if err := recovered(ctx, k.fetch); err != nil && ctx.Err() == nil {
			good = false
			k.logger.Error("providers directory not fetched, the old copy stays in use", "error", err)
		}
	}
	if written := k.written(); k.clock().Sub(written) > oldDirectory {
		k.logger.Error("the providers directory in use is older than 48 hours", "written", written.UTC().Format(time.RFC3339))
	}
	if err := k.own(); err != nil && !errors.Is(err, directory.ErrTooOld) {
		k.logger.Error("our own record in the providers directory is not right", "error", err)
	}
	return good
}

func (k *keeper) fetch(ctx context.Context) error {
	report, err := k.syncer.Sync(ctx, k.clock())
	if errors.Is(err, directory.ErrMirror) {
		k.logger.Error("providers directory not written into the LDAP mirror, trying again with the next fetch", "error", err)
	} else if err != nil {
		return err
	}
	k.logger.Info("providers directory fetched", "records", len(report.Directory.Providers()), "changed", len(report.Changes),
		"signer", report.Signer, "signed", report.Signed.UTC().Format(time.RFC3339))
	return nil
}

// firstDirectory fetches the directory if there is none yet: without one the doors
// cannot open.
func firstDirectory(ctx context.Context, c *config.Config, now time.Time) error {
	if _, err := os.Stat(c.Directory.LDIF); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	syncer, err := newSyncer(c)
	if err != nil {
		return &exit{exitConfig, err}
	}
	if syncer == nil {
		return nil // openDirectory says that it is missing
	}
	if _, err = syncer.Sync(ctx, now); errors.Is(err, directory.ErrMirror) {
		return nil // the next fetch tells it
	}
	return err
}
