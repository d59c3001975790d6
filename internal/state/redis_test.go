package state

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pec-milter/pec-milter/internal/point"
)

func openRedis(t *testing.T, c RedisConfig, node string, now time.Time, log *slog.Logger) *RedisStore {
	t.Helper()
	s, err := OpenRedis(c, node, func() time.Time { return now }, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// begun is a node that has begun, with a log that nobody reads.
func begun(t *testing.T, c RedisConfig, node string, now time.Time) *RedisStore {
	t.Helper()
	s := openRedis(t, c, node, now, slog.New(slog.DiscardHandler))
	if err := s.Begin(ctx); err != nil {
		t.Fatal(err)
	}
	return s
}

func testRedisConformance(t *testing.T, c RedisConfig, servers ...*server) {
	testConformance(t, func(t *testing.T) *cluster {
		for _, s := range servers {
			if err := s.admin.FlushAll(ctx).Err(); err != nil {
				t.Fatal(err)
			}
		}
		now := time.Now()
		return &cluster{
			node: func(name string) point.State { return begun(t, c, name, now) },
			pass: func(d time.Duration) {
				now = now.Add(d)
				for _, s := range servers {
					s.pass(d)
				}
			},
			tick: 30 * time.Second,
		}
	})
}

func TestConformanceRedis(t *testing.T) {
	s := newServer(t, "").run()
	testRedisConformance(t, s.config(), s)
}

// TestConformanceRedisCluster has each half of the slots on a server.
func TestConformanceRedisCluster(t *testing.T) {
	var servers []*server
	c := RedisConfig{}
	for range 2 {
		s := newServer(t, freePort(t), "cluster-enabled yes", "cluster-port "+port(freePort(t))).run()
		servers = append(servers, s)
		addresses := append(c.Addresses, s.address)
		c = s.config()
		c.Addresses = addresses
	}
	join(t, servers[0], servers[1])
	testRedisConformance(t, c, servers...)
}

func port(address string) string {
	_, port, _ := net.SplitHostPort(address)
	return port
}

// join makes a Cluster of two servers and waits until it serves.
func join(t *testing.T, a, b *server) {
	t.Helper()
	bus := b.admin.ConfigGet(ctx, "cluster-port").Val()["cluster-port"]
	for _, err := range []error{
		a.admin.ClusterAddSlotsRange(ctx, 0, 8191).Err(),
		b.admin.ClusterAddSlotsRange(ctx, 8192, 16383).Err(),
		a.admin.Do(ctx, "CLUSTER", "MEET", "127.0.0.1", port(b.address), bus).Err(),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, s := range []*server{a, b} {
		eventually(t, "the Cluster serves", func() bool {
			return strings.Contains(s.admin.ClusterInfo(ctx).Val(), "cluster_state:ok")
		})
	}
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if is() {
			return
		}
	}
	t.Fatalf("not within 30 s: %s", what)
}

// TestRedisClock lets a lease run out in real time.
func TestRedisClock(t *testing.T) {
	s := newServer(t, "").run()
	a, b := begun(t, s.config(), "a", time.Now()), begun(t, s.config(), "b", time.Now())
	const ttl = 300 * time.Millisecond
	start := time.Now()
	mustLease(t, a, ttl)
	eventually(t, "the lease runs out", func() bool {
		_, ok, err := b.Lease(ctx, key, ttl)
		return ok && err == nil
	})
	if took := time.Since(start); took < ttl {
		t.Errorf("a lease for %v was free after %v", ttl, took)
	}
	if _, ok, err := b.Lease(ctx, point.Key{8}, time.Nanosecond); !ok || err != nil {
		t.Errorf("Lease for 1 ns = %v, %v, want it taken", ok, err)
	}
}

// TestRedisOtherFormat is FP-45: the format is recorded, and a state of another one
// is refused until its keys are deleted.
func TestRedisOtherFormat(t *testing.T) {
	s := newServer(t, "").run()
	mustLease(t, begun(t, s.config(), "a", time.Now()), time.Hour)
	if got := s.admin.Get(ctx, "pec:format").Val(); got != redisFormat {
		t.Errorf("format in Redis: got %q, want %q", got, redisFormat)
	}
	s.pass(keepStart) // all else that it has runs out
	begun(t, s.config(), "a", time.Now())
	if ttl := s.admin.TTL(ctx, "pec:format").Val(); ttl < keepFormat-time.Hour {
		t.Errorf("format in Redis runs out in %v, want %v after the last start", ttl, keepFormat)
	}
	if err := s.admin.Set(ctx, "pec:format", "99", 0).Err(); err != nil {
		t.Fatal(err)
	}
	b := openRedis(t, s.config(), "b", time.Now(), slog.New(slog.DiscardHandler))
	_, ok, leaseErr := b.Lease(ctx, point.Key{8}, time.Minute)
	for name, err := range map[string]error{"Begin": b.Begin(ctx), "Lease": leaseErr} {
		for _, want := range []string{`format "99"`, "format " + redisFormat + ":", s.address, "stop all nodes", "delete the keys pec:*"} {
			if ok || err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s with a state of another format: got %v, want an error with %q", name, err, want)
			}
		}
	}
	if err := s.admin.FlushAll(ctx).Err(); err != nil {
		t.Fatal(err)
	}
	mustLease(t, b, time.Minute)
}

// A lease whose answer was lost is asked for again, and is not held by itself.
func TestRedisRepeatedQuestion(t *testing.T) {
	s := newServer(t, "").run()
	a := begun(t, s.config(), "a", time.Now())
	release := mustLease(t, a, time.Minute)
	a.leases.Add(-1) // the next question is the same
	mustLease(t, a, time.Minute)
	wantHeld(t, a, "asked for twice")
	release()
	mustLease(t, a, time.Minute)
}

// TestRedisForgets: nothing is left, and what was there before cannot disturb.
func TestRedisForgets(t *testing.T) {
	s := newServer(t, "").run()
	now := time.Now()
	a := begun(t, s.config(), "a", now)
	late := mustLease(t, a, time.Minute)
	if err := s.admin.FlushAll(ctx).Err(); err != nil {
		t.Fatal(err)
	}
	again := begun(t, s.config(), "a", now.Add(time.Second))
	mustLease(t, again, time.Minute)
	late()
	wantHeld(t, again, "released by who held it before the loss")
	wantHeld(t, a, "its successor has it")
}

// The node's processes follow each other even if the clock is put back.
func TestRedisClockPutBack(t *testing.T) {
	s := newServer(t, "").run()
	now := time.Now()
	mustLease(t, begun(t, s.config(), "a", now), time.Hour)
	mustLease(t, begun(t, s.config(), "a", now.Add(-time.Hour)), time.Hour)
}

// OP-03: what stands in the place of the node's start may be anything.
func TestRedisForgedStart(t *testing.T) {
	s := newServer(t, "").run()
	first := begun(t, s.config(), "a", time.Now())
	for _, forged := range []string{"", "x", "nan", "inf", "-inf", "1e300", "9007199254740993", "-5", "1.5"} {
		if err := s.admin.Set(ctx, "pec:node:"+first.node, forged, 0).Err(); err != nil {
			t.Fatal(err)
		}
		next := begun(t, s.config(), "a", time.Now())
		if next.start.Load() < first.start.Load() {
			t.Errorf("with %q: start = %d, want at least %d", forged, next.start.Load(), first.start.Load())
		}
	}
}

// OP-03: what stands in the place of a lease holds the message up, or not; nothing
// that is not a lease of ours is taken for one of an earlier process.
func TestRedisForgedLease(t *testing.T) {
	s := newServer(t, "").run()
	a := begun(t, s.config(), "a", time.Now())
	for _, forged := range []string{"", "x", a.node, a.node + " 1", a.node + " 1e1 1", a.node + " -1 1", " " + a.node + " 1 1"} {
		if err := s.admin.Set(ctx, a.name("lease", key), forged, 0).Err(); err != nil {
			t.Fatal(err)
		}
		wantHeld(t, a, fmt.Sprintf("forged %q", forged))
	}
	s.admin.Del(ctx, a.name("lease", key))
	if err := s.admin.RPush(ctx, a.name("lease", key), "x").Err(); err != nil {
		t.Fatal(err)
	}
	if _, ok, err := a.Lease(ctx, key, time.Minute); ok || err == nil {
		t.Errorf("Lease with a list in its place = %v, %v, want an error", ok, err)
	}
}

// TestRedisKilled: without Redis everything fails, soon; with it again the node
// goes on, and what it had is there.
func TestRedisKilled(t *testing.T) {
	s := newServer(t, "").run()
	var log bytes.Buffer
	a := openRedis(t, s.config(), "a", time.Now(), slog.New(slog.NewTextHandler(&log, nil)))
	b := begun(t, s.config(), "b", time.Now())
	release := mustLease(t, a, time.Minute)
	held := point.Key{8}
	if _, ok, err := a.Lease(ctx, held, time.Hour); !ok || err != nil {
		t.Fatal(ok, err)
	}
	eventually(t, "Redis has written all", s.written)
	s.kill()
	wantErrors(t, a)
	release()
	if !strings.Contains(log.String(), "lease not released") {
		t.Errorf("log has %q, want the lease that was not released", log.String())
	}
	s.run()
	eventually(t, "the node goes on", func() bool {
		return a.Answers(ctx) == nil
	})
	if _, ok, err := b.Lease(ctx, held, time.Hour); ok || err != nil {
		t.Errorf("Lease after the restart of Redis = %v, %v, want it held", ok, err)
	}
}

func wantErrors(t *testing.T, s *RedisStore) {
	t.Helper()
	start := time.Now()
	_, ok, err := s.Lease(ctx, key, time.Minute)
	for name, err := range map[string]error{"Lease": err, "Answers": s.Answers(ctx)} {
		if ok || err == nil || !strings.Contains(err.Error(), s.where) {
			t.Errorf("%s without Redis: %v, want an error that names %s", name, err, s.where)
		}
	}
	if took := time.Since(start); took > 4*answerTime {
		t.Errorf("two answers took %v, want at most %v each", took, answerTime)
	}
}

// TestRedisBackAtOnce is FP-06: what was left behind while Redis was down holds
// nobody of this process up when it is back; others see a lease that is held.
func TestRedisBackAtOnce(t *testing.T) {
	s := newServer(t, "").run()
	a := begun(t, s.config(), "a", time.Now())
	b := begun(t, s.config(), "b", time.Now())
	release := mustLease(t, a, time.Hour)
	held := point.Key{8}
	if _, ok, err := a.Lease(ctx, held, time.Hour); !ok || err != nil {
		t.Fatal(ok, err)
	}
	eventually(t, "Redis has written all", s.written)
	if err := s.process.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	release()
	s.kill()
	s.run()
	eventually(t, "the other node sees a lease that is held", func() bool {
		_, ok, err := b.Lease(ctx, key, time.Hour)
		return !ok && err == nil
	})
	eventually(t, "the lease is taken again", func() bool {
		_, ok, err := a.Lease(ctx, key, time.Hour)
		return ok && err == nil
	})
	wantHeld(t, a, "taken again")
	if _, ok, err := a.Lease(ctx, held, time.Hour); ok || err != nil {
		t.Errorf("Lease of what was not left behind = %v, %v, want it held", ok, err)
	}
}

// TestRedisComesLater: the node starts without Redis and goes on once it is
// there.
func TestRedisComesLater(t *testing.T) {
	s := newServer(t, "")
	a := openRedis(t, s.config(), "a", time.Now(), slog.New(slog.DiscardHandler))
	if err := a.Begin(ctx); err == nil {
		t.Error("Begin without Redis gave no error")
	}
	wantErrors(t, a)
	s.run()
	eventually(t, "the lease is taken", func() bool {
		_, ok, err := a.Lease(ctx, key, time.Minute)
		return ok && err == nil
	})
	wantHeld(t, begun(t, s.config(), "b", time.Now()), "another node")
}

// TestRedisHangs: a server that takes connections and says nothing.
func TestRedisHangs(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	a := openRedis(t, RedisConfig{Addresses: []string{l.Addr().String()}, Prefix: "pec:"}, "a", time.Now(), slog.New(slog.DiscardHandler))
	short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	start := time.Now()
	if err := a.Answers(short); err == nil || time.Since(start) > serverTime {
		t.Errorf("Answers = %v after %v, want an error when the context ends", err, time.Since(start))
	}
	wantErrors(t, a)
}
