package main

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/pec-milter/pec-milter/internal/point"
)

// timer does the only work that no queue drives.
type timer struct {
	clock    point.Clock
	logger   *slog.Logger
	timeouts func(context.Context) error // issues the notices whose time has come
	// expire removes from the quarantine what was kept long enough, and gives its
	// number; nil: there is no quarantine.
	expire  func(context.Context, time.Time) (int, error)
	expired time.Time // when that was done
	// unfinished is reported at the start, and then by the timer; nil: never.
	unfinished *unfinished
	own        *ownCertificate // nil: nobody watches it
}

// reportPeriod is how often it is looked for what was never seen in the queue: a
// daemon that runs for years must tell it too.
const reportPeriod = time.Hour

// expirePeriod is how often the quarantine is looked through.
const expirePeriod = 24 * time.Hour

// timer is that of the services.
func (s *services) timer() *timer {
	delivery := &point.DeliveryPoint{Provider: s.provider}
	t := &timer{
		clock: s.provider.Clock, logger: s.provider.Logger, timeouts: delivery.Timeouts,
		unfinished: &unfinished{log: s.log, logger: s.provider.Logger}, own: s.ownCertificate(),
	}
	if s.quarantine != nil {
		t.expire = s.quarantine.Expire
	}
	return t
}

// start makes it work at once and then every period, until ctx is done or it is
// stopped. stop waits for what is under way.
func (t *timer) start(ctx context.Context, period time.Duration) (stop func()) {
	return every(ctx, period, t.work)
}

// every does a work at once and then every period, as start does.
func every(ctx context.Context, period time.Duration, work func(context.Context)) (stop func()) {
	return beside(ctx, func(ctx context.Context) {
		ticker := time.NewTicker(period)
		defer ticker.Stop()
		for ctx.Err() == nil {
			work(ctx)
			select {
			case <-ctx.Done():
			case <-ticker.C:
			}
		}
	})
}

// work does what is due. What fails is tried again when it is due again.
func (t *timer) work(ctx context.Context) {
	t.watchCertificate(ctx)
	if err := recovered(ctx, t.timeouts); err != nil && ctx.Err() == nil {
		t.logger.Error("time-out notices not issued, trying again in a minute", "error", err)
	}
	now := t.clock()
	if t.expire != nil && now.Sub(t.expired) >= expirePeriod {
		t.expired = now
		t.clear(ctx, now)
	}
	if t.unfinished != nil && now.Sub(t.unfinished.looked) >= reportPeriod {
		report := func(ctx context.Context) error { return t.unfinished.report(ctx, now) }
		if err := recovered(ctx, report); err != nil && ctx.Err() == nil {
			t.logger.Error("not looked for what was never seen in the queue, trying again in a minute", "error", err)
		}
	}
}

func (t *timer) watchCertificate(ctx context.Context) {
	if t.own == nil {
		return
	}
	err := recovered(ctx, func(context.Context) error { t.own.look(t.clock()); return nil })
	if err != nil {
		t.logger.Error("signing certificate not looked at, trying again in a minute", "error", err)
	}
}

// recovered makes an error of a panic: the doors must stay open.
func recovered(ctx context.Context, work func(context.Context) error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return work(ctx)
}

func (t *timer) clear(ctx context.Context, now time.Time) {
	removed, err := t.expire(ctx, now)
	if err != nil && ctx.Err() == nil {
		t.logger.Error("quarantine not cleared, trying again in a day", "error", err)
	}
	if removed > 0 {
		t.logger.Info("removed from the quarantine, their 30 months are over", "count", removed)
	}
}
