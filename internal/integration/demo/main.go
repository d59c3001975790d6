// Command demo shows pec-milter at work, on this machine alone: two PEC
// providers, alfa and beta, and an ordinary mail domain exchange a certified
// message over real Postfix and Dovecot. "make demo" runs it.
//
// It exits 0 only if everything that is due has arrived and nothing else, and
// openssl, xmllint and the legal logs of both providers agree with what is in
// the mailboxes. All messages are left in build/demo.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/pec-milter/pec-milter/internal/integration"
)

// timeout bounds the whole exchange. It takes some seconds; a slow machine may
// take more.
const timeout = 3 * time.Minute

// All paths count from the directory of the repository.
const (
	results = "build/demo"
	running = "build/demo.running" // how to stop what -keep left running
	binary  = "build/pec-milter"
	dtd     = "pec/testdata/postacert.dtd"
)

func main() {
	keep := flag.Bool("keep", false, "leave the servers running, for a mail client")
	stop := flag.Bool("stop", false, "stop what -keep left running")
	flag.Parse()
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer cancel()
	err := stopEarlier(*stop)
	if err == nil && !*stop {
		err = show(ctx, *keep)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "\ndemo: %v\n", err)
		os.Exit(1)
	}
}

// stopEarlier stops what an earlier demo left running; there need not be one
// unless it is asked for.
func stopEarlier(asked bool) error {
	err := integration.StopLeft(running)
	if errors.Is(err, fs.ErrNotExist) {
		if asked {
			fmt.Println("No demo is running.")
		}
		return nil
	}
	return err
}

// show is the demo, from empty to stopped.
func show(ctx context.Context, keep bool) (err error) {
	if err := emptyResults(); err != nil {
		return err
	}
	here, err := filepath.Abs(".")
	if err != nil {
		return err
	}
	page := newPage(os.Stdout)
	page.introduction()
	world, err := integration.Start(ctx, integration.Options{
		Binary:  filepath.Join(here, binary),
		Contrib: filepath.Join(here, "contrib"),
		Outlive: keep,
	})
	if err != nil {
		return err
	}
	s := &scene{world: world, page: page}
	err = s.play(ctx)
	if keep && err == nil {
		page.accounts(s)
		return world.Leave(running)
	}
	return errors.Join(err, s.keepLogsOnFailure(err), world.Stop())
}

// emptyResults makes an empty directory for the results.
func emptyResults() error {
	if err := os.RemoveAll(results); err != nil {
		return err
	}
	return os.MkdirAll(results, 0o755)
}
