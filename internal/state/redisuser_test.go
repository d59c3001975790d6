package state

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// TestRedisUser is OP-02: the user of contrib/redis may do what we do, under our prefix,
// and nothing else.
func TestRedisUser(t *testing.T) {
	s := newServer(t, "").run()
	user := redis.NewClient(&redis.Options{Addr: s.address, Username: "pec-milter", Password: password, Protocol: 2, DisableIdentity: true})
	defer user.Close()
	if err := user.Set(ctx, "pec:x", "", 0).Err(); err != nil {
		t.Error(err)
	}
	for _, command := range [][]any{
		{"SET", "other:x", ""}, {"GET", "other:x"}, {"EVAL", "return redis.call('GET', KEYS[1])", 1, "other:x"}, {"FLUSHALL"}, {"FLUSHDB"},
		{"KEYS", "*"}, {"CONFIG", "GET", "*"}, {"ACL", "LIST"}, {"SHUTDOWN"}, {"PUBLISH", "x", "y"}, {"INFO"},
		{"SCRIPT", "FLUSH"}, {"CLIENT", "PAUSE", 1}, {"MONITOR"}, {"REPLICAOF", "NO", "ONE"},
	} {
		if err := user.Do(ctx, command...).Err(); !redis.HasErrorPrefix(err, "NOPERM") {
			t.Errorf("%v: %v, want it forbidden", command, err)
		}
	}
	inside := user.Do(ctx, "EVAL", "return redis.call('GET', 'other:x')", 0).Err()
	if inside == nil || !strings.Contains(inside.Error(), "can't access") {
		t.Errorf("another key inside of a script: %v, want it forbidden", inside)
	}
	c := s.config()
	if _, err := openRedis(t, c, "a", time.Now(), slog.New(slog.DiscardHandler)).Settings(ctx, "appendonly"); !errors.Is(err, ErrNotAllowed) {
		t.Errorf("Settings = %v, want ErrNotAllowed", err)
	}
	s.write("password", "wrong")
	if err := openRedis(t, c, "a", time.Now(), slog.New(slog.DiscardHandler)).Begin(ctx); err == nil || !strings.Contains(err.Error(), "WRONGPASS") {
		t.Errorf("Begin with a wrong password = %v", err)
	}
	c.User, c.PasswordFile = "", ""
	if err := openRedis(t, c, "a", time.Now(), slog.New(slog.DiscardHandler)).Begin(ctx); err == nil || !strings.Contains(err.Error(), "NOAUTH") {
		t.Errorf("Begin without a password = %v", err)
	}
}

// A password that nobody has chosen is none: Redis does not start with
// contrib's users as they are.
func TestRedisUsersWithoutPassword(t *testing.T) {
	s := newServer(t, "")
	s.write("users.acl", contents(t, contrib+"pec-milter.acl"))
	limited, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	out, err := exec.CommandContext(limited, "redis-server", filepath.Join(s.dir, "redis.conf")).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "Aborting Redis startup because of ACL errors") {
		t.Errorf("redis-server: %v, %s, want it to refuse the users", err, out)
	}
}

// The settings of contrib/redis are in force.
func TestRedisSettings(t *testing.T) {
	s := newServer(t, "").run()
	for name, want := range map[string]string{
		"appendonly": "yes", "appendfsync": "everysec", "maxmemory-policy": "noeviction",
	} {
		if got := s.admin.ConfigGet(ctx, name).Val()[name]; got != want {
			t.Errorf("%s = %q, want %q", name, got, want)
		}
	}
	c := s.config()
	c.User = "admin"
	s.write("password", adminPassword)
	got, err := openRedis(t, c, "a", time.Now(), slog.New(slog.DiscardHandler)).Settings(ctx, "appendonly", "no-such", "appendfsync")
	if want := map[string]string{"appendonly": "yes", "appendfsync": "everysec"}; err != nil || !maps.Equal(got, want) {
		t.Errorf("Settings = %v, %v, want %v", got, err, want)
	}
}
