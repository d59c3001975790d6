package legallog

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/pec-milter/pec-milter/internal/point"
	"github.com/pec-milter/pec-milter/pec"
)

const crashRounds = 8

// crashAcks is after how many acknowledged steps a round's child is killed:
// each round at another point of the eight workers' steps.
func crashAcks(round int) int { return 40 + 13*round }

// TestCrash kills a writing process again and again: every step that it was
// told is recorded is there, and no step is there in part.
func TestCrash(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log.db")
	var log *Log
	testCrash(t, "LEGALLOG_CRASH_PATH="+path, func() *Log { log = openFile(t, path); return log })
	var result string
	if err := log.db.QueryRow("PRAGMA integrity_check").Scan(&result); err != nil || result != "ok" {
		t.Errorf("integrity check: %s, %v, want ok", result, err)
	}
}

// testCrash crashes children that find their database in the environment.
func testCrash(t *testing.T, database string, open func() *Log) {
	reached := make(map[point.TransactionID]int) // the last step acknowledged
	for round := range crashRounds {
		for _, ack := range runAndKill(t, database, round) {
			var worker, i, step int
			if _, err := fmt.Sscanf(ack, "%d %d %d", &worker, &i, &step); err != nil {
				t.Fatalf("the child said %q: %v", ack, err)
			}
			reached[crashID(round, worker, i)] = step
		}
	}
	log := open()
	for id, step := range reached {
		if err := checkStep(log, id, step); err != nil {
			t.Errorf("transaction %x, acknowledged up to step %d: %v", id, step, err)
		}
	}
	checkNoHalves(t, log)
}

// runAndKill gives what the child acknowledged before it died.
func runAndKill(t *testing.T, database string, round int) (acknowledged []string) {
	t.Helper()
	child := exec.Command(os.Args[0], "-test.run=^TestCrashChild$")
	child.Env = append(os.Environ(), database, "LEGALLOG_CRASH_ROUND="+strconv.Itoa(round))
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		acknowledged = append(acknowledged, lines.Text())
		if len(acknowledged) == crashAcks(round) {
			time.Sleep(time.Duration(round%5) * 300 * time.Microsecond)
			child.Process.Kill()
		}
	}
	if err := child.Wait(); err == nil || len(acknowledged) < crashAcks(round) {
		t.Fatalf("the child ended by itself after %d steps: %v", len(acknowledged), err)
	}
	return acknowledged
}

// TestCrashChild is the process that TestCrash kills.
func TestCrashChild(t *testing.T) {
	var log *Log
	switch path, dsn := os.Getenv("LEGALLOG_CRASH_PATH"), os.Getenv("LEGALLOG_CRASH_DSN"); {
	case path != "":
		log = openFile(t, path)
	case dsn != "":
		log = openPostgreSQL(t, dsn)
	default:
		t.Skip("runs as a child of TestCrash")
	}
	round, err := strconv.Atoi(os.Getenv("LEGALLOG_CRASH_ROUND"))
	if err != nil {
		t.Fatal(err)
	}
	race(8, func(worker int) error {
		for i := 0; ; i++ {
			id := crashID(round, worker, i)
			for step, run := range crashSteps(log, id) {
				if err := run(); err != nil {
					return err
				}
				fmt.Println(worker, i, step)
			}
		}
	})
}

func crashID(round, worker, i int) point.TransactionID {
	return point.TransactionID{byte(round), byte(worker), byte(i), byte(i >> 8)}
}

// crashSteps is a transaction's life: intended, sent, committed, delivered.
func crashSteps(log *Log, id point.TransactionID) []func() error {
	intent := sampleIntent(0, 0, 0)
	intent.ID = id
	copy(intent.Key[:], id[:])
	return []func() error{
		func() error { return log.AddIntent(ctx, intent, nil, sampleEvent(fmt.Sprintf("%x", id))) },
		func() error { return log.MarkSent(ctx, id, t0) },
		func() error {
			_, err := log.MarkCommitted(ctx, id, t0, crashClaims(id))
			return err
		},
		func() error {
			event := sampleEvent(fmt.Sprintf("%x", id))
			event.Kind = point.EventDelivered
			_, err := log.PutOutcome(ctx, intent.Key, point.Outcome{Kind: pec.Delivery, Time: t0}, point.Settlement{}, event)
			return err
		},
	}
}

func crashClaims(id point.TransactionID) []point.Key {
	claims := []point.Key{{31: 1}, {31: 2}, {31: 3}}
	for i := range claims {
		copy(claims[i][:], id[:])
	}
	return claims
}

func checkStep(log *Log, id point.TransactionID, step int) error {
	intent, err := log.Intent(ctx, id)
	if err != nil {
		return err
	}
	if step >= 1 && intent.SentAt.IsZero() || step >= 2 && intent.Committed.IsZero() {
		return errors.New("its time is not recorded")
	}
	if step == 3 {
		_, err = log.Outcome(ctx, intent.Key)
	}
	return err
}

// checkNoHalves counts facts without their event, events without their fact,
// and commits without all of their claims.
func checkNoHalves(t *testing.T, log *Log) {
	t.Helper()
	hex := "lower(hex(id))"
	if log.writer.dialect.turn != "" {
		hex = "encode(id, 'hex')"
	}
	queries := map[string]string{
		"intents without event":  `SELECT count(*) FROM intents WHERE ` + hex + ` NOT IN (SELECT id FROM events WHERE kind = 'accepted')`,
		"events without intent":  `SELECT count(*) FROM events WHERE id NOT IN (SELECT ` + hex + ` FROM intents)`,
		"twofold events":         `SELECT count(*) - count(DISTINCT id || kind) FROM events`,
		"outcomes and events":    `SELECT (SELECT count(*) FROM outcomes) - (SELECT count(*) FROM events WHERE kind = 'delivered')`,
		"commits without claims": `SELECT count(*) FROM intents WHERE committed_at IS NOT NULL AND 3 <> (SELECT count(*) FROM claims WHERE transaction_id = intents.id)`,
		"claims without commit":  `SELECT count(*) FROM claims WHERE transaction_id NOT IN (SELECT id FROM intents WHERE committed_at IS NOT NULL)`,
	}
	for name, query := range queries {
		var n int
		if err := log.db.QueryRow(query).Scan(&n); err != nil || n != 0 {
			t.Errorf("%s: %d, %v, want 0", name, n, err)
		}
	}
}
