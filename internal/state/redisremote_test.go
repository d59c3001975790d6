package state

import (
	"crypto/rand"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/pec-milter/pec-milter/internal/point"
	"github.com/pec-milter/pec-milter/internal/testpki"
)

// TestRedisTLS: both ends show a certificate.
func TestRedisTLS(t *testing.T) {
	dir := t.TempDir()
	certify(t, dir, "ca", "server")
	certify(t, dir, "otherca", "client")
	file := func(name string) string { return filepath.Join(dir, name) }
	address := freePort(t)
	s := newServer(t, "", "port 0", "bind 127.0.0.1", "tls-port "+port(address), "tls-auth-clients yes",
		"tls-cert-file "+file("server.pem"), "tls-key-file "+file("server.key"), "tls-ca-cert-file "+file("otherca.pem")).run()
	c := s.config()
	c.Addresses, c.CA, c.Certificate, c.Key = []string{address}, file("ca.pem"), file("client.pem"), file("client.key")
	testRedisConformance(t, c, s)

	without := c
	without.Certificate, without.Key = "", ""
	wrong := c
	wrong.CA = file("otherca.pem")
	other := c
	other.Addresses = []string{strings.Replace(address, "127.0.0.1", "127.0.0.2", 1)}
	for what, c := range map[string]RedisConfig{
		"starting node": without, // the server may hang up before it has said why
		"certificate signed by unknown authority": wrong,
		"127.0.0.2": other,
	} {
		err := openRedis(t, c, "a", time.Now(), slog.New(slog.DiscardHandler)).Begin(ctx)
		if err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("Begin = %v, want an error with %q", err, what)
		}
	}
}

// certify writes an authority and a certificate of its own for this machine.
func certify(t *testing.T, dir, authority, name string) {
	t.Helper()
	ca, err := testpki.NewRoot(testpki.Source{Now: time.Now(), Rand: rand.Reader}, authority)
	if err != nil {
		t.Fatal(err)
	}
	server, err := ca.NewServer([]string{"localhost"})
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{
		testpki.WriteCertificates(filepath.Join(dir, authority+".pem"), ca.Certificate()),
		server.WriteFiles(filepath.Join(dir, name+".pem"), filepath.Join(dir, name+".key")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestRedisBadFiles(t *testing.T) {
	dir := t.TempDir()
	certify(t, dir, "ca", "client")
	s := &server{t: t, dir: dir}
	s.write("empty", " \n")
	file := func(name string) string { return filepath.Join(dir, name) }
	for want, c := range map[string]RedisConfig{
		"redis.password_file: open":        {PasswordFile: file("missing")},
		"redis.password_file: " + dir:      {PasswordFile: file("empty")},
		"redis.tls_ca: open":               {CA: file("missing")},
		"redis.tls_ca: " + file("empty"):   {CA: file("empty")},
		"redis.tls_key " + file("missing"): {CA: file("ca.pem"), Certificate: file("client.pem"), Key: file("missing")},
	} {
		got, err := OpenRedis(c, "a", time.Now, slog.New(slog.DiscardHandler))
		if got != nil || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("OpenRedis = %v, %v, want an error with %q", got, err, want)
		}
	}
}

// TestRedisSentinel kills the master: the node follows to the replica by itself,
// where the leases are that it had.
func TestRedisSentinel(t *testing.T) {
	replication := []string{"masteruser pec-replica", "masterauth " + replicaPassword, "repl-diskless-sync-delay 0"}
	master := newServer(t, freePort(t), replication...).run()
	replica := newServer(t, freePort(t), append(replication, "replicaof 127.0.0.1 "+port(master.address))...).run()
	eventually(t, "the replica follows", func() bool {
		return strings.Contains(replica.admin.Info(ctx, "replication").Val(), "master_link_status:up")
	})
	c := master.config()
	c.Master, c.Addresses = "pec", []string{startSentinel(t, master, replica)}
	a, b := begun(t, c, "a", time.Now()), begun(t, c, "b", time.Now())
	mustLease(t, a, time.Hour)
	eventually(t, "the replica has the lease", func() bool {
		return replica.admin.Exists(ctx, a.name("lease", key)).Val() == 1
	})
	mustFollow(t, a, master)
	wantHeld(t, b, "after the fail-over")
	if role := replica.admin.Info(ctx, "replication").Val(); !strings.Contains(role, "role:master") {
		t.Errorf("the replica says %q, want it to be the master", role)
	}
}

// mustFollow kills the master and waits until the node can write again.
func mustFollow(t *testing.T, s *RedisStore, master *server) {
	t.Helper()
	master.kill()
	start := time.Now()
	eventually(t, "the node follows to the new master", func() bool {
		_, ok, err := s.Lease(ctx, point.Key{9}, time.Hour)
		return ok && err == nil
	})
	t.Logf("fail-over took %v", time.Since(start))
}

// startSentinel has one Sentinel watch a master, and waits until it knows the
// replica.
func startSentinel(t *testing.T, master, replica *server) (address string) {
	t.Helper()
	address = freePort(t)
	s := &server{t: t, dir: t.TempDir(), address: address}
	s.write("sentinel.conf", fmt.Sprintf(`bind 127.0.0.1
port %s
dir %s
sentinel monitor pec 127.0.0.1 %s 1
sentinel auth-user pec pec-sentinel
sentinel auth-pass pec %s
sentinel down-after-milliseconds pec 1000
sentinel failover-timeout pec 10000
`, port(address), s.dir, port(master.address), sentinelPassword))
	s.launch("redis-server", filepath.Join(s.dir, "sentinel.conf"), "--sentinel")
	client := redis.NewSentinelClient(&redis.Options{Addr: address, Protocol: 2, DisableIdentity: true, MaxRetries: -1})
	t.Cleanup(func() { client.Close() })
	eventually(t, "the Sentinel knows the replica", func() bool {
		replicas, err := client.Replicas(ctx, "pec").Result()
		return err == nil && len(replicas) == 1 && replicas[0]["port"] == port(replica.address) && replicas[0]["flags"] == "slave" &&
			replicas[0]["master-link-status"] == "ok"
	})
	return address
}
