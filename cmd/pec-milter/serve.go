package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"github.com/pec-milter/pec-milter/internal/config"
	"github.com/pec-milter/pec-milter/internal/daemonlog"
	"github.com/pec-milter/pec-milter/internal/directory"
	"github.com/pec-milter/pec-milter/internal/metrics"
	"github.com/pec-milter/pec-milter/internal/point"
	"github.com/pec-milter/pec-milter/internal/spool"
	"github.com/pec-milter/pec-milter/lmtpdeliver"
	"github.com/pec-milter/pec-milter/milter"
)

type serveCommand struct {
	Config string `required:"" type:"path" placeholder:"FILE" help:"The configuration."`
}

// drainTime is how long messages under way may take after SIGTERM. Behind sockets that
// systemd holds, others wait meanwhile, and Postfix waits 30 s (milter_connect_timeout):
// the rest is for the next start.
const drainTime = 20 * time.Second

// Run serves the three doors until SIGTERM or SIGINT. SIGHUP has the configuration
// read again.
func (s *serveCommand) Run() error {
	c, err := loadConfig(s.Config)
	if err != nil {
		return err
	}
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP) // from the first moment: it would end us
	logger, level, err := newLogger(c)
	if err != nil {
		return &exit{exitConfig, err}
	}
	slog.SetDefault(logger) // libraries warn through the standard log
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	// The sockets first: whoever has them is the only daemon, and only the only
	// daemon may touch the state.
	sockets, err := listen(c)
	if err != nil {
		return err
	}
	defer sockets.close()
	if err := firstDirectory(ctx, c, clock()()); err != nil {
		return err
	}
	services, err := openServices(c, clock(), logger)
	if err != nil {
		return err
	}
	if err = errors.Join(injectFaults(services, sockets, logger), serveMeasurements(services.provider)); err == nil {
		err = serve(ctx, c, services, sockets, &reloader{path: s.Config, inForce: c, level: level, hangup: hangup})
	}
	return errors.Join(err, services.close())
}

// sockets are the listeners of the doors, by their names, and of the metrics.
type sockets map[string]net.Listener

// listen opens the sockets of all doors, and that of the metrics, or none. It takes
// those of the doors that systemd has opened, if it has: they outlive us, and the
// MTA waits until we are there again.
func listen(c *config.Config) (sockets, error) {
	given, err := handedOver()
	if err != nil {
		return nil, err
	}
	one := given.take
	if len(given) == 0 {
		one = func(socket config.Socket) (net.Listener, error) {
			return milter.Listen(socket.String(), c.MTA.SocketGroup)
		}
	}
	open := sockets{}
	for name, socket := range served(c) {
		l, err := one(socket)
		if err != nil {
			open.close()
			given.close()
			return nil, fmt.Errorf("%s: %w", socketKey(name), err)
		}
		open[name] = l
	}
	if err := given.refuse(); err != nil {
		open.close()
		return nil, err
	}
	l, err := listenMetrics(c)
	if err != nil {
		open.close()
		return nil, fmt.Errorf("metrics.listen: %w", err)
	}
	if l != nil {
		open["metrics"] = l
	}
	return open, nil
}

// served are the sockets that an MTA connects to, by the names of the doors.
func served(c *config.Config) map[string]config.Socket {
	all := map[string]config.Socket{
		"access": c.Access.Listen, "incoming": c.Incoming.Listen, "delivery": c.Delivery.Listen,
	}
	if c.MTA.Lifetime.Network != "" {
		all[lifetimeDoor] = c.MTA.Lifetime
	}
	return all
}

// socketKey is where the configuration has the socket of a door.
func socketKey(door string) string {
	if door == lifetimeDoor {
		return "mta.lifetime"
	}
	return door + ".listen"
}

// close closes all sockets; those that a server has closed already do not mind.
func (s sockets) close() {
	for _, l := range s {
		l.Close()
	}
}

// newLogger makes the daemon's log. It also gives the level, which may be changed.
func newLogger(c *config.Config) (*slog.Logger, *slog.LevelVar, error) {
	level := &slog.LevelVar{}
	level.Set(c.Log.Level.Level)
	settings := daemonlog.Config{Format: c.Log.Format, Level: level}
	if c.Log.Addresses == config.AddressesHashed {
		secret, err := c.Provider.ReadSecret()
		if err != nil {
			return nil, nil, err
		}
		settings.Key = point.Secret(secret.Reveal()).Derive("addresses in the log")
	}
	logger, err := daemonlog.New(os.Stderr, settings)
	return logger, level, err
}

// door is the server of one socket.
type door struct {
	name   string
	server interface {
		Serve(net.Listener) error
		Shutdown(context.Context) error
	}
}

func doors(c *config.Config, p *point.Provider, m *metrics.Metrics) []door {
	front := func(name point.Door, d milter.Door) *milter.Server {
		return milter.NewServer(milter.Config{
			Replied: replied(m, name),
			Door:    d, Clock: p.Clock, Log: p.Logger, ContentTimeout: c.MTA.ContentTimeout.Duration,
			Spool: spoolRoom(c), MaxSize: c.MTA.MaxSize, MaxConcurrent: c.MTA.Concurrent(), MaxConnections: c.MTA.MaxConnections,
		})
	}
	// What we have certified is larger than what was submitted.
	delivery := lmtpdeliver.NewServer(lmtpdeliver.Config{
		Replied: replied(m, point.DeliveryDoor),
		Door:    &point.DeliveryPoint{Provider: p}, Clock: p.Clock, Log: p.Logger,
		Spool: spoolRoom(c), MaxSize: 2 * c.MTA.MaxSize, MaxConcurrent: c.MTA.Concurrent(), MaxConnections: c.MTA.MaxConnections,
	})
	return []door{
		{"delivery", delivery},
		{"incoming", front(point.IncomingDoor, &point.Incoming{Provider: p})},
		{"access", front(point.AccessDoor, &point.Access{Provider: p})},
	}
}

// replied counts the replies of a door; nil without metrics.
func replied(m *metrics.Metrics, door point.Door) func(string, int, time.Duration) {
	if m == nil {
		return nil
	}
	return m.Replied(door)
}

// spoolRoom is the room for the bodies of one door. Each has its own, so that
// none takes it from the others.
func spoolRoom(c *config.Config) *spool.Room {
	return &spool.Room{Directory: c.MTA.SpoolDirectory, Total: c.MTA.MaxSpool, Free: c.MTA.MinFree}
}

// serve opens the doors, and closes them in the other order when ctx is done.
func serve(ctx context.Context, c *config.Config, s *services, sockets sockets, reloader *reloader) error {
	logger := s.provider.Logger
	// With a directory that is too old the doors open all the same: mail gets 451, and
	// the keeper fetches.
	if err := checkOwnCertificate(s.provider); err != nil && !errors.Is(err, directory.ErrTooOld) {
		return &exit{exitConfig, err}
	}
	keeper, err := s.keeper(c)
	if err != nil {
		return err
	}
	if err := s.witnessed(&c.LegalLog); err != nil {
		return err
	}
	timer := s.timer()
	if err := timer.unfinished.report(context.WithoutCancel(ctx), s.provider.Clock()); err != nil {
		return err
	}
	logKeeper, err := s.logKeeper(&c.LegalLog)
	if err != nil {
		return err
	}
	stopFetching := beside(ctx, s.revocations.Run)
	defer stopFetching()
	measured := s.measured(&c.Metrics, logKeeper)
	defer serveMetrics(c, measured, sockets["metrics"], logger)()
	all := append(s.lifetime(c), doors(c, s.provider, measured)...)
	failed := make(chan error, len(all))
	for _, d := range all {
		go func() { failed <- d.server.Serve(sockets[d.name]) }()
		logger.Info("door open", "door", d.name, "socket", sockets[d.name].Addr())
	}
	stopTimer := timer.start(ctx, timerPeriod)
	defer stopTimer()
	stopKeeper := keeper.start(ctx)
	defer stopKeeper()
	stopProbe := every(ctx, timerPeriod, func(context.Context) { s.signer.Probe() })
	defer stopProbe()
	stopLogKeeper := every(ctx, timerPeriod, logKeeper.work)
	tellSystemd(logger, daemon.SdNotifyReady)
	stopReloading := beside(ctx, func(ctx context.Context) { reloader.run(ctx, s) })
	defer stopReloading()
	stopWatchdog := watchdog(context.WithoutCancel(ctx), logger, s.alive)
	defer stopWatchdog()
	select {
	case <-ctx.Done():
		tellSystemd(logger, daemon.SdNotifyStopping)
		logger.Info("stopping: messages under way are finished first", "at_most", drainTime)
	case err = <-failed:
	}
	err = errors.Join(err, shutdown(all))
	stopLogKeeper()
	return errors.Join(err, logKeeper.anchor(context.WithoutCancel(ctx), s.provider.Clock()))
}

// beside runs something until ctx is done or it is stopped. stop waits for its end.
func beside(ctx context.Context, run func(context.Context)) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		run(ctx)
	}()
	return func() { cancel(); <-ended }
}

func shutdown(all []door) error {
	ctx, cancel := context.WithTimeout(context.Background(), drainTime)
	defer cancel()
	var err error
	for n := len(all) - 1; n >= 0; n-- {
		if e := all[n].server.Shutdown(ctx); e != nil && !errors.Is(e, context.DeadlineExceeded) {
			err = errors.Join(err, e)
		}
	}
	return err
}
