// Command bench measures what pec-milter costs beside what it is compared with, on
// this machine alone: Postfix without a milter, with one that does nothing, with
// OpenDKIM, with amavis, and pec-milter in its variants. "make bench" runs it;
// docs/performance.md has the method.
//
// It exits 0 if all was measured, whatever came out; 1 if not; 64 if there is no
// such mode. It is run in the directory of the repository.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/pec-milter/pec-milter/internal/integration"
)

// usageCode is EX_USAGE of sysexits.h.
const usageCode = 64

func main() {
	binary := flag.String("binary", "build/pec-milter-bench", "the pec-milter to run, built with the tag measured")
	directory := flag.String("results", "build/bench", "the directory for the results; what is in it is removed")
	name := flag.String("mode", "full", "how much to measure: tiny, profile, quick or full")
	noopSocket := flag.String("no-op", "", "be a milter that does nothing, on this socket")
	flag.Parse()
	if *noopSocket != "" {
		exitOn(serveNoop(*noopSocket)) // a signal ends it
		return
	}
	mode := findMode(*name)
	if mode == nil {
		fmt.Fprintf(os.Stderr, "bench: there is no mode %q: tiny, profile, quick or full\n", *name)
		os.Exit(usageCode)
	}
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer cancel()
	exitOn(measure(ctx, *mode, *binary, *directory))
}

func exitOn(err error) {
	if err != nil {
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
		os.Exit(1)
	}
}

// bench is a run.
type bench struct {
	mode      mode
	binary    string
	directory string // of the results
	world     *integration.World
	sink      *sink
	servers   *redisAndPostgreSQL
	variants  []*variant
	keys      []keySource
	letters   atomic.Int64
	results   results
}

// measure is the run, from empty to stopped.
func measure(ctx context.Context, m mode, binary, directory string) (err error) {
	if err := errors.Join(os.RemoveAll(directory), os.MkdirAll(directory, 0o755)); err != nil {
		return err
	}
	b := &bench{mode: m, binary: binary, directory: directory, results: results{Mode: m.Name, Began: time.Now().UTC().Truncate(time.Second), Machine: thisMachine()}}
	if b.sink, err = startSink(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.stop(err)) }()
	b.tell("starting the servers; load average %.1f", b.results.Machine.LoadFirst)
	if err := b.startWorld(ctx); err != nil {
		return err
	}
	if err := errors.Join(b.startVariants(), b.openKeys()); err != nil {
		return err
	}
	return errors.Join(b.measureAll(ctx), b.report())
}

// measureAll measures everything, in the order of the report.
func (b *bench) measureAll(ctx context.Context) error {
	b.tell("warming up")
	if err := b.warmUp(ctx); err != nil {
		return err
	}
	if err := b.measureRounds(ctx); err != nil {
		return err
	}
	if err := b.measurePeaks(); err != nil {
		return err
	}
	b.tell("sizes and recipients")
	if err := b.measureGrowth(ctx); err != nil {
		return err
	}
	if err := b.measureCrowd(); err != nil {
		return err
	}
	return b.profile(ctx)
}

// warmUp sends some messages that do not count.
func (b *bench) warmUp(ctx context.Context) error {
	var tasks []task
	for _, v := range b.variants {
		tasks = append(tasks, task{variant: v, sessions: 2, messages: 4, size: usual})
	}
	_, err := b.takeAll(ctx, 0, tasks)
	return err
}

// report writes and prints the results, also those of a run that failed on the way.
func (b *bench) report() error {
	r := &b.results
	r.Seconds, r.Machine.LoadLast = time.Since(r.Began).Seconds(), load()
	r.conclude()
	text := r.text()
	fmt.Print(text)
	encoded, err := json.MarshalIndent(r, "", "\t")
	return errors.Join(err,
		os.WriteFile(filepath.Join(b.directory, "results.json"), encoded, 0o644),
		os.WriteFile(filepath.Join(b.directory, "results.txt"), []byte(text), 0o644),
		os.WriteFile(filepath.Join(b.directory, "results.svg"), []byte(r.chart()), 0o644))
}

// stop stops everything; after a failure the servers' logs are kept.
func (b *bench) stop(failure error) (err error) {
	for _, k := range b.keys {
		err = errors.Join(err, k.signer.Close())
	}
	if failure != nil && b.world != nil {
		err = errors.Join(err, b.world.SaveLogs(b.directory))
	}
	return errors.Join(err, b.world.Stop(), b.sink.close())
}

// tell tells how far the run is.
func (b *bench) tell(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "bench: "+format+"\n", args...)
}

func (b *bench) leaveOut(name string, why error) {
	b.results.LeftOut = append(b.results.LeftOut, name)
	b.tell("LEFT OUT: %s: %v (contrib/debian/setup.sh bench installs it)", name, strings.TrimSpace(why.Error()))
}
