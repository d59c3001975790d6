//go:build faults

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"

	"github.com/pec-milter/pec-milter/internal/effect"
	"github.com/pec-milter/pec-milter/internal/fault"
)

// The environment variables that ask for a fault: one has the order itself, the
// other names a file that has it at any time, so that it can be changed while the
// daemon runs. A file that is empty, or not there, asks for none; replace it by
// renaming, so that it is never read half written.
const (
	faultOrder = "PEC_FAULT"
	faultFile  = "PEC_FAULT_FILE"
)

// injectFaults makes the daemon fail where the environment says
// (fault.ParseOrder). Without a word there nothing is different.
//
// This exists in test builds only.
func injectFaults(s *services, open sockets, log *slog.Logger) error {
	order, path := os.Getenv(faultOrder), os.Getenv(faultFile)
	if order == "" && path == "" {
		return nil
	}
	if order != "" && path != "" {
		return &exit{exitConfig, fmt.Errorf("%s and %s: set one of them", faultOrder, faultFile)}
	}
	ask := func() (string, error) { return order, nil }
	name := faultOrder
	if path != "" {
		ask, name = func() (string, error) { return readOrder(path) }, faultFile
	}
	injection, err := fault.NewInjection(ask, log)
	if err != nil {
		return &exit{exitConfig, fmt.Errorf("%s: %w", name, err)}
	}
	effect.Wrap(s.provider, injection)
	for _, door := range []string{"access", "incoming", "delivery"} {
		open[door] = injection.Listener(door, open[door])
	}
	log.Info("faults are injected into this daemon: it is a test build", "order", order, "file", path)
	return nil
}

func readOrder(path string) (string, error) {
	order, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return string(order), err
}
