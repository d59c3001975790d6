package legallog

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/pec-milter/pec-milter/internal/point"
)

// loser stands before the server and loses the answer of one commit.
type loser struct {
	net.Listener
	lose atomic.Bool
}

func startLoser(t *testing.T) *loser {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	l := &loser{Listener: listener}
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			go l.serve(client)
		}
	}()
	return l
}

func (l *loser) serve(client net.Conn) {
	defer client.Close()
	database, err := net.Dial("unix", filepath.Join(server.Directory, fmt.Sprintf(".s.PGSQL.%d", server.Port)))
	if err != nil {
		return
	}
	defer database.Close()
	var losing atomic.Bool
	go func() {
		defer database.Close()
		buffer := make([]byte, 64<<10)
		for {
			n, err := client.Read(buffer)
			if err != nil {
				return
			}
			if bytes.Contains(buffer[:n], []byte("commit\x00")) && l.lose.CompareAndSwap(true, false) {
				losing.Store(true)
			}
			if _, err := database.Write(buffer[:n]); err != nil {
				return
			}
		}
	}()
	buffer := make([]byte, 64<<10)
	for {
		n, err := database.Read(buffer)
		if err != nil || losing.Load() { // it is done, and the answer is here
			return
		}
		if _, err := io.Copy(client, bytes.NewReader(buffer[:n])); err != nil {
			return
		}
	}
}

// TestLostCommit: a commit comes through and its answer does not. The caller gets
// an error, and doing it again does no harm.
func TestLostCommit(t *testing.T) {
	dsn := newDSN(t)
	proxy := startLoser(t)
	log := openPostgreSQL(t, strings.Replace(dsn, fmt.Sprintf("host=%s port=%d", server.Directory, server.Port),
		fmt.Sprintf("sslmode=disable host=127.0.0.1 port=%d", proxy.Addr().(*net.TCPAddr).Port), 1))
	intent := sampleIntent(1, 9, 0)
	outcome := point.Outcome{Reply: "first", Time: t0}
	steps := []struct {
		name  string
		run   func() error
		again error
	}{
		{"AddIntent", func() error { return log.AddIntent(ctx, intent, nil, sampleEvent("intent")) }, point.ErrConflict},
		{"MarkSent", func() error { return log.MarkSent(ctx, intent.ID, t0, point.Judgement{Time: t0}) }, nil},
		{"MarkCommitted", func() error {
			own, err := log.MarkCommitted(ctx, intent.ID, t0, []point.Key{{1}}, sampleWait("a@b.example"))
			if err == nil && !own[0] {
				err = errors.New("the claim is lost")
			}
			return err
		}, nil},
		{"BeginDelivery", func() error { _, err := log.BeginDelivery(ctx, point.Key{6}); return err }, nil},
		{"PutOutcome", func() error {
			recorded, err := log.PutOutcome(ctx, point.Key{5}, outcome, endedBy(sampleWait("c@b.example")), sampleEvent("outcome"))
			if err == nil && recorded != outcome {
				err = fmt.Errorf("recorded: %+v", recorded)
			}
			return err
		}, nil},
		{"PutVerdict", func() error { return log.PutVerdict(ctx, point.Judgement{Time: t0}) }, nil},
		{"DecideFirst", func() error { _, err := log.DecideFirst(ctx, sampleWait("a@b.example"), t0); return err }, nil},
	}
	for _, step := range steps {
		proxy.lose.Store(true)
		if err := step.run(); err == nil || errors.Is(err, point.ErrConflict) || errors.Is(err, point.ErrUnknown) {
			t.Errorf("%s with the answer lost: %v, want a temporary error", step.name, err)
		}
		wantError(t, step.name+" again", step.run(), step.again)
	}
	if got := ids(t, openPostgreSQL(t, dsn)); got != "intent outcome" {
		t.Errorf("the log has %q, want each row once", got)
	}
}
