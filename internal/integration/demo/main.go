// Command demo shows pec-milter at work, on this machine alone: two PEC
// providers, alfa and beta, and an ordinary mail domain exchange a certified
// message over real Postfix (or Sendmail) and Dovecot. "make demo" runs it. With a scenario it
// goes on with what may befall a message: refusals, viruses, failures, ordinary
// mail, time-outs; a table at the end has what was expected and what came.
//
// It exits 0 only if everything that is due has arrived and nothing else, and
// openssl, xmllint and the legal logs of both providers agree with what is in
// the mailboxes; 1 otherwise; 64 if there is no such scenario. All messages are
// left in build/demo.
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

// timeout bounds one scene. It takes some seconds; a slow machine may take more.
const timeout = 3 * time.Minute

// All paths count from the directory of the repository.
const (
	results = "build/demo"
	running = "build/demo.running" // how to stop what -keep left running
	binary  = "build/pec-milter"
	movable = "build/pec-milter-demo" // with a clock that can be moved: for scenarios
	dtd     = "pec/testdata/postacert.dtd"
)

// usage is EX_USAGE of sysexits.h.
const usage = 64

func main() {
	keep := flag.Bool("keep", false, "leave the servers running, for a mail client")
	stop := flag.Bool("stop", false, "stop what -keep left running")
	name := flag.String("scenario", "", "after the main job play one scenario, or all")
	mta := flag.String("mta", "postfix", "the mail server of the providers: postfix or sendmail")
	flag.Parse()
	chosen, err := choose(*name)
	if *mta != "postfix" && *mta != "sendmail" {
		err = errors.Join(err, fmt.Errorf("no mail server %q: postfix or sendmail", *mta))
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "demo: %v\n", err)
		os.Exit(usage)
	}
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer cancel()
	err = stopEarlier(*stop)
	if err == nil && !*stop {
		err = show(ctx, chosen, *keep, *mta == "sendmail")
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
func show(ctx context.Context, chosen []scenario, keep, sendmail bool) (err error) {
	if err := emptyResults(); err != nil {
		return err
	}
	here, err := filepath.Abs(".")
	if err != nil {
		return err
	}
	daemon := binary
	if len(chosen) > 0 {
		daemon = movable
	}
	page := newPage(os.Stdout)
	page.introduction()
	world, err := integration.Start(ctx, integration.Options{
		Binary:  filepath.Join(here, daemon),
		Contrib: filepath.Join(here, "contrib"),
		Outlive: keep,

		Sendmail:   sendmail,
		TimeStamps: true,
	})
	if err != nil {
		return err
	}
	s := newStage(world, page)
	err = s.perform(ctx, chosen)
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
