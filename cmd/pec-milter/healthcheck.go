package main

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/pec-milter/pec-milter/internal/config"
	"github.com/pec-milter/pec-milter/internal/doctor"
)

type healthcheckCommand struct {
	Config string `required:"" type:"path" placeholder:"FILE" help:"The configuration."`
}

// Run tells by the exit code whether the daemon's doors answer. It reads the
// configuration alone, none of the files that it names.
func (h *healthcheckCommand) Run() error {
	c, err := config.Load(h.Config)
	if err != nil {
		return &exit{exitConfig, err}
	}
	if err := doorsAnswer(context.Background(), c); err != nil {
		return &exit{1, err}
	}
	return nil
}

// doorsAnswer asks the three doors at once; the error names those that do not
// answer.
func doorsAnswer(ctx context.Context, c *config.Config) error {
	ctx, cancel := context.WithTimeout(ctx, scrapeTime)
	defer cancel()
	us := &patient{config: c}
	found := make([]doctor.Finding, 3)
	var asked sync.WaitGroup
	for i, ask := range []func() doctor.Finding{
		func() doctor.Finding { return doctor.MilterDoor(ctx, "access", socket(c.Access.Listen)) },
		func() doctor.Finding { return doctor.MilterDoor(ctx, "incoming", socket(c.Incoming.Listen)) },
		func() doctor.Finding { return doctor.DeliveryDoor(ctx, us.prober(socket(c.Delivery.Listen), true)) },
	} {
		asked.Go(func() { found[i] = ask() })
	}
	asked.Wait()
	var err error
	for _, f := range found {
		if f.Result != doctor.Good {
			err = errors.Join(err, fmt.Errorf("%s: %s", f.Check, f.What))
		}
	}
	return err
}
