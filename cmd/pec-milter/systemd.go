package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/activation"
	"github.com/coreos/go-systemd/v22/daemon"

	"github.com/pec-milter/pec-milter/internal/config"
)

// handedOver are the sockets that systemd has opened for us (sd_listen_fds(3)), by
// their addresses as the configuration writes them; none if we are not activated.
//
// The address tells which door a socket is for, not its name: the sockets of one
// unit have one name together.
func handedOver() (sockets, error) {
	given, err := activation.Listeners()
	if err != nil {
		return nil, err
	}
	all := sockets{}
	for n, l := range given {
		if l == nil {
			err = errors.Join(err, fmt.Errorf("file descriptor %d from systemd is no stream socket that listens: see ListenStream= of pec-milter.socket", 3+n))
			continue
		}
		all[addressOf(l)] = l
	}
	if err != nil {
		all.close()
		return nil, &exit{exitConfig, err}
	}
	return all, nil
}

func addressOf(l net.Listener) string {
	return config.Socket{Network: l.Addr().Network(), Address: l.Addr().String()}.String()
}

// take gives the one for a door.
func (s sockets) take(socket config.Socket) (net.Listener, error) {
	address := socket
	if tcp, err := net.ResolveTCPAddr("tcp", socket.Address); socket.Network == "tcp" && err == nil {
		address.Address = tcp.String()
	}
	l := s[address.String()]
	if l == nil {
		return nil, &exit{exitConfig, fmt.Errorf("%s is none of the sockets that systemd has opened (%s): "+
			"write the same into the configuration and as ListenStream= into pec-milter.socket", socket, s.addresses())}
	}
	delete(s, address.String())
	return l, nil
}

// refuse closes those that are left over; there should be none.
func (s sockets) refuse() error {
	if len(s) == 0 {
		return nil
	}
	defer s.close()
	return &exit{exitConfig, fmt.Errorf("no door listens on %s, which systemd has opened: "+
		"take it out of pec-milter.socket, or what connects there waits for ever", s.addresses())}
}

func (s sockets) addresses() string {
	return cmp.Or(strings.Join(slices.Sorted(maps.Keys(s)), ", "), "none is left")
}

// tellSystemd tells what we are doing (sd_notify(3)). Without systemd nobody listens.
func tellSystemd(logger *slog.Logger, state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		logger.Error("systemd was not told", "state", state, "error", err)
	}
}

// watchdog tells systemd that we are alive, three times in WatchdogSec=, as long as
// alive comes back. systemd starts us anew when it hears nothing.
func watchdog(ctx context.Context, logger *slog.Logger, alive func()) (stop func()) {
	within, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		logger.Error("systemd was not told", "state", daemon.SdNotifyWatchdog, "error", err)
	}
	if err != nil || within < time.Second {
		return func() {}
	}
	return every(ctx, within/3, func(context.Context) {
		alive()
		tellSystemd(logger, daemon.SdNotifyWatchdog)
	})
}

// alive comes back if no lock is held for ever that every message needs. What is
// wrong otherwise is not of interest: mail gets 451, and a restart repairs nothing.
func (s *services) alive() {
	_, _, _ = s.signer.Current()
	_, _ = s.provider.Trust.Current()
	_ = s.provider.Accounts.Policy(s.provider.Identity.Address)
}
