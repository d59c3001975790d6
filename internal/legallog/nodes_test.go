package legallog

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/pec-milter/pec-milter/internal/point"
)

// Two nodes, each with a connection of its own, do at the same moment what must
// not happen twice. Each of the tests does it for many keys at once, so that the
// commits carry steps of several keys.
func testNodes(t *testing.T, open opener) {
	tests := map[string]func(t *testing.T, a, b *Log){
		"one intent of a generation":        testNodesIntent,
		"sent, or void and replaced":        testNodesSent,
		"committed before it is replaced":   testNodesCommitted,
		"claims have one owner":             testNodesClaims,
		"one outcome":                       testNodesOutcome,
		"12 h notice, or taken charge of":   testNodesFirst,
		"24 h notice, or delivered":         testNodesLast,
		"numbers rise with the commits":     testNodesOrder,
		"a node that is idle holds nothing": testNodesAlone,
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			logs := open(t, 2)
			test(t, logs[0], logs[1])
		})
	}
}

// nodeKeys is how many keys the nodes race for.
const nodeKeys = 120

// both runs one function on each node at the same moment, for every key, and
// gives the errors of the first and of the second.
func both(first, second func(key int) error) (a, b []error) {
	errs := race(2*nodeKeys, func(i int) error {
		if i%2 == 0 {
			return first(i / 2)
		}
		return second(i / 2)
	})
	for i := 0; i < len(errs); i += 2 {
		a, b = append(a, errs[i]), append(b, errs[i+1])
	}
	return a, b
}

func nodeID(node, key int) point.TransactionID {
	return point.TransactionID{byte(node), byte(key), byte(key >> 8)}
}

func nodeKey(key int) point.Key { return point.Key{byte(key), byte(key >> 8), 31: 7} }

// nodeIntent is an intent of a node, of the generation, for the key.
func nodeIntent(node, key, generation int) *point.Intent {
	intent := sampleIntent(0, 0, generation)
	intent.ID, intent.Key = nodeID(node, key), nodeKey(key)
	return intent
}

func nodeEvent(node, key int) point.Event { return sampleEvent(fmt.Sprint(node, "/", key)) }

// wantOneConflict: the one succeeded, the other one met a conflict.
func wantOneConflict(t *testing.T, key int, a, b error) {
	t.Helper()
	if a == nil {
		a, b = b, a
	}
	if b != nil || !errors.Is(a, point.ErrConflict) {
		t.Errorf("key %d: %v and %v, want success and a conflict", key, a, b)
	}
}

func testNodesIntent(t *testing.T, a, b *Log) {
	add := func(node int, log *Log) func(int) error {
		return func(key int) error {
			return log.AddIntent(ctx, nodeIntent(node, key, 0), nil, nodeEvent(node, key))
		}
	}
	errsA, errsB := both(add(1, a), add(2, b))
	for key := range nodeKeys {
		wantOneConflict(t, key, errsA[key], errsB[key])
	}
	if rows := readAll(t, a, Filter{}); len(rows) != nodeKeys {
		t.Errorf("%d rows of the log, want one for each of %d keys", len(rows), nodeKeys)
	}
}

// An attempt that stalled is sent on one node, while the other one takes it for
// void: never both.
func testNodesSent(t *testing.T, a, b *Log) {
	for key := range nodeKeys {
		mustAdd(t, a, nodeIntent(1, key, 0))
	}
	sent, replaced := both(
		func(key int) error { return a.MarkSent(ctx, nodeID(1, key), t0) },
		func(key int) error {
			return b.AddIntent(ctx, nodeIntent(2, key, 1), nodeIntent(1, key, 0), nodeEvent(2, key))
		})
	for key := range nodeKeys {
		wantOneConflict(t, key, sent[key], replaced[key])
	}
}

// A message that is seen in the queue is served in full whenever it comes; but
// whoever replaces it does so before.
func testNodesCommitted(t *testing.T, a, b *Log) {
	for key := range nodeKeys {
		mustAdd(t, a, nodeIntent(1, key, 0))
	}
	committed, replaced := both(
		func(key int) error { _, err := a.MarkCommitted(ctx, nodeID(1, key), t0, nil); return err },
		func(key int) error {
			return b.AddIntent(ctx, nodeIntent(2, key, 1), nodeIntent(1, key, 0), nodeEvent(2, key))
		})
	rows := 0
	for key := range nodeKeys {
		if committed[key] != nil || replaced[key] != nil && !errors.Is(replaced[key], point.ErrConflict) {
			t.Errorf("key %d: committed %v, replaced %v, want success, and success or a conflict", key, committed[key], replaced[key])
		}
		if got, err := b.Intent(ctx, nodeID(1, key)); err != nil || !got.Committed.Equal(t0) {
			t.Errorf("key %d: %+v, %v, want it committed", key, got, err)
		}
		if replaced[key] == nil {
			rows++
		}
	}
	if got := len(readAll(t, a, Filter{})); got != rows {
		t.Errorf("%d rows of the log, want %d", got, rows)
	}
}

// Each key is claimed twice, in another order on each node.
func testNodesClaims(t *testing.T, a, b *Log) {
	for key := range nodeKeys {
		mustAdd(t, a, nodeIntent(1, key, 0), nodeIntent(2, key, 1))
	}
	var own [2][nodeKeys][]bool
	claim := func(node int, log *Log, claims func(int) []point.Key) func(int) error {
		return func(key int) (err error) {
			own[node-1][key], err = log.MarkCommitted(ctx, nodeID(node, key), t0, claims(key))
			return err
		}
	}
	errsA, errsB := both(
		claim(1, a, func(key int) []point.Key { return []point.Key{nodeKey(key), nodeKey(key + 1000)} }),
		claim(2, b, func(key int) []point.Key { return []point.Key{nodeKey(key + 1000), nodeKey(key)} }))
	if err := errors.Join(append(errsA, errsB...)...); err != nil {
		t.Fatal(err)
	}
	for key := range nodeKeys {
		mine, other := own[0][key], own[1][key]
		if mine[0] == other[1] || mine[1] == other[0] || mine[0] != mine[1] {
			t.Errorf("key %d: claims of the nodes: %v and %v, want both of one", key, mine, other)
		}
	}
}

func testNodesOutcome(t *testing.T, a, b *Log) {
	var got [2][nodeKeys]point.Outcome
	put := func(node int, log *Log) func(int) error {
		return func(key int) (err error) {
			outcome := point.Outcome{Reply: fmt.Sprint(node, "/", key), Time: t0}
			got[node-1][key], err = log.PutOutcome(ctx, nodeKey(key), outcome, point.Settlement{}, nodeEvent(node, key))
			return err
		}
	}
	errsA, errsB := both(put(1, a), put(2, b))
	if err := errors.Join(append(errsA, errsB...)...); err != nil {
		t.Fatal(err)
	}
	for key := range nodeKeys {
		if got[0][key] != got[1][key] {
			t.Errorf("key %d: outcomes %+v and %+v, want one", key, got[0][key], got[1][key])
		}
		if rows := readAll(t, a, Filter{ID: got[0][key].Reply}); len(rows) != 1 {
			t.Errorf("key %d: %d rows of the recorded outcome, want 1", key, len(rows))
		}
	}
	if rows := readAll(t, a, Filter{}); len(rows) != nodeKeys {
		t.Errorf("%d rows of the log, want %d", len(rows), nodeKeys)
	}
}

func nodeWait(key int) point.Wait { return sampleWait(fmt.Sprint("r", key, "@b.example")) }

func awaitAll(t *testing.T, log *Log) {
	t.Helper()
	for key := range nodeKeys {
		awaitNow(t, log, nodeWait(key))
	}
}

// A notice of 12 hours is decided before, or not at all; and its date is the
// first that was decided, on every node.
func testNodesFirst(t *testing.T, a, b *Log) {
	awaitAll(t, a)
	var decided, again [nodeKeys]point.Wait
	errsA, errsB := both(
		func(key int) error { return trySettle(a, takenBy(nodeWait(key)), t0) },
		func(key int) (err error) {
			if decided[key], err = b.DecideFirst(ctx, nodeWait(key), t0.Add(12*time.Hour)); err != nil {
				return err
			}
			again[key], err = a.DecideFirst(ctx, nodeWait(key), t0.Add(13*time.Hour))
			return err
		})
	if err := errors.Join(append(errsA, errsB...)...); err != nil {
		t.Fatal(err)
	}
	for key := range nodeKeys {
		first := decided[key]
		if first.First.IsZero() && first.Taken.IsZero() || !again[key].First.Equal(first.First) {
			t.Errorf("key %d: %+v, then %+v, want one decision, or that it was taken", key, first, again[key])
		}
	}
}

func testNodesLast(t *testing.T, a, b *Log) {
	awaitAll(t, a)
	var decided, again [nodeKeys]point.Wait
	errsA, errsB := both(
		func(key int) error { return trySettle(a, endedBy(nodeWait(key)), t0) },
		func(key int) (err error) {
			if decided[key], err = b.DecideLast(ctx, nodeWait(key), t0.Add(23*time.Hour)); err != nil {
				return err
			}
			again[key], err = a.DecideLast(ctx, nodeWait(key), t0.Add(24*time.Hour))
			return err
		})
	if err := errors.Join(append(errsA, errsB...)...); err != nil {
		t.Fatal(err)
	}
	for key := range nodeKeys {
		if !again[key].Last.Equal(decided[key].Last) {
			t.Errorf("key %d: decided %v, then %v, want one decision", key, decided[key].Last, again[key].Last)
		}
	}
	if open, err := b.Waits(ctx, t0.Add(48*time.Hour)); err != nil || len(open) != 0 {
		t.Errorf("%d waits are open, %v, want none", len(open), err)
	}
}

// Who reads on after the last row that he has seen misses none.
func testNodesOrder(t *testing.T, a, b *Log) {
	written := make(chan bool)
	seen := 0
	var last int64
	read := func() {
		for row, err := range b.Events(ctx, Filter{After: last}) {
			if err != nil {
				t.Error(err)
				return
			}
			last = row.Seq
			seen++
		}
	}
	go func() {
		defer close(written)
		write := func(node int, log *Log) func(int) error {
			return func(key int) error {
				for range 5 {
					if err := log.Append(ctx, nodeEvent(node, key), nodeEvent(node, key)); err != nil {
						return err
					}
				}
				return nil
			}
		}
		errsA, errsB := both(write(1, a), write(2, b))
		if err := errors.Join(append(errsA, errsB...)...); err != nil {
			t.Error(err)
		}
	}()
	for done := false; !done; {
		select {
		case <-written:
			done = true
		default:
		}
		read()
	}
	if want := 2 * nodeKeys * 5 * 2; seen != want {
		t.Errorf("a reader who goes on where he was saw %d rows, want %d", seen, want)
	}
}

// A node that has written and is idle holds nothing that another one needs.
func testNodesAlone(t *testing.T, a, b *Log) {
	mustAppend(t, a, sampleEvent("a"))
	mustAppend(t, b, sampleEvent("b"))
	a.Close()
	mustAppend(t, b, sampleEvent("c"))
	if got := ids(t, b); got != "a b c" {
		t.Errorf("the log has %q, want a b c", got)
	}
}
