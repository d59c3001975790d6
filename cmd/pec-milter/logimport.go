package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/pec-milter/pec-milter/internal/config"
	"github.com/pec-milter/pec-milter/internal/legallog"
	"github.com/pec-milter/pec-milter/internal/point"
)

type importCommand struct {
	Config string   `required:"" type:"path" placeholder:"FILE" help:"The configuration."`
	Files  []string `type:"path" placeholder:"DIR" help:"A directory with the sealed files of another node."`
	reasonOption
}

// Run verifies the sealed files first, and writes into the log who puts how many rows
// back, or why none. It may run beside the daemon.
func (x *importCommand) Run(o out) error {
	c, err := loadConfig(x.Config)
	if err != nil {
		return err
	}
	ctx, now := context.Background(), clock()()
	if err := x.verify(o, c, now); err != nil {
		return err
	}
	log, closeLog, err := openLegalLog(c, slog.New(slog.NewTextHandler(os.Stderr, nil)))
	if err != nil {
		return err
	}
	defer closeLog()
	seals := append([]string{c.LegalLog.Directory}, x.Files...)
	bar := newProgress(os.Stderr, "sealed rows")
	defer bar.end()
	sealed := &legallog.Import{Log: log, Seals: seals, Now: now, Progress: func(looked int64) { bar.show(looked, 0) }}
	missing, refused := sealed.Missing(ctx)
	what := fmt.Sprintf("log import of %d rows from %q", missing, seals)
	if errors.Is(refused, legallog.ErrConflict) {
		what = fmt.Sprintf("log import from %q refused: %v", seals, refused)
	} else if refused != nil {
		return refused
	}
	if err := log.Append(ctx, point.ImportedEvent(now, x.detail(what))); err != nil {
		return err
	}
	if refused != nil {
		return &exit{errBad.code, fmt.Errorf("nothing was put back: %w", refused)}
	}
	back, err := sealed.PutBack(ctx)
	if err != nil {
		return err
	}
	bar.end()
	_, err = fmt.Fprintf(o, "%d sealed rows put back; see pec-milter log verify\n", back)
	return err
}

// verify gives errBad if the sealed files are not as they were made.
func (x *importCommand) verify(o out, c *config.Config, now time.Time) error {
	v := &legallog.Verification{Seals: x.Files, Now: now}
	if err := judgedBy(v, c); err != nil {
		return err
	}
	report, err := v.Verify(context.Background())
	if err != nil || len(report.Faults) == 0 {
		return err
	}
	return printVerification(o, v, report)
}
