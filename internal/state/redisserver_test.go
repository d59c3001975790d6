package state

import (
	"crypto/sha256"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

const contrib = "../../contrib/redis/"

// The passwords of the users of contrib/redis, and of admin, whom only the tests
// have.
const (
	password         = "of pec-milter"
	replicaPassword  = "of-the-replicas"
	sentinelPassword = "of-the-sentinels"
	adminPassword    = "of-the-tests"
)

// server is a redis-server of our own: contrib's settings and users, all else
// in a temporary directory.
type server struct {
	t       *testing.T
	dir     string
	address string // what the tests connect to
	process *exec.Cmd
	admin   *redis.Client // may everything
}

// newServer prepares a server that listens on address: a path or host:port.
// more are lines of its configuration, after all others.
func newServer(t *testing.T, address string, more ...string) *server {
	t.Helper()
	find(t, "redis-server")
	s := &server{t: t, dir: t.TempDir(), address: address}
	if address == "" {
		s.address = filepath.Join(s.dir, "redis.sock")
	}
	listen := "port 0\nunixsocket " + s.address
	if host, port, err := net.SplitHostPort(s.address); err == nil {
		listen = "bind " + host + "\nport " + port
	}
	s.write("users.acl", users(t)+fmt.Sprintf("user admin on >%s ~* &* +@all\n", adminPassword))
	s.write("redis.conf", strings.Join(append([]string{
		"include " + absolute(t, contrib+"pec-milter.conf"),
		"aclfile " + filepath.Join(s.dir, "users.acl"), "dir " + s.dir, "save \"\"", listen,
	}, more...), "\n")+"\n")
	s.admin = redis.NewClient(&redis.Options{
		Addr: s.address, Username: "admin", Password: adminPassword, Protocol: 2, DisableIdentity: true, MaxRetries: -1,
	})
	t.Cleanup(func() { s.admin.Close() })
	return s
}

// users are contrib's, with their passwords.
func users(t *testing.T) string {
	t.Helper()
	hash := func(password string) string { return fmt.Sprintf("#%x", sha256.Sum256([]byte(password))) }
	return strings.NewReplacer(
		"#SHA-256-OF-THE-PASSWORD", hash(password),
		"#SHA-256-OF-THE-REPLICA-PASSWORD", hash(replicaPassword),
		"#SHA-256-OF-THE-SENTINEL-PASSWORD", hash(sentinelPassword),
	).Replace(contents(t, contrib+"pec-milter.acl") + contents(t, contrib+"replication.acl"))
}

// run starts the server, or starts it again, and waits until it answers.
func (s *server) run() *server {
	s.t.Helper()
	s.launch("redis-server", filepath.Join(s.dir, "redis.conf"))
	var err error
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if err = s.admin.Ping(ctx).Err(); err == nil {
			return s
		}
	}
	s.t.Fatalf("redis-server does not answer: %v", err)
	return nil
}

// launch starts a program of Redis, which ends with the test at the latest.
func (s *server) launch(arguments ...string) {
	s.t.Helper()
	log, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		s.t.Fatal(err)
	}
	defer log.Close()
	program := exec.Command(arguments[0], arguments[1:]...)
	program.Stdout, program.Stderr = log, log
	program.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := program.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.process = program
	s.t.Cleanup(func() {
		program.Process.Kill()
		program.Wait()
		if s.t.Failed() {
			s.t.Logf("%v said:\n%s", arguments, contents(s.t, log.Name()))
		}
	})
}

// written tells whether nothing waits any more to be written to the append-only
// file: what comes while that is flushed to the disk waits.
func (s *server) written() bool {
	info := s.admin.Info(ctx, "persistence").Val()
	return strings.Contains(info, "\naof_buffer_length:0\r") && strings.Contains(info, "\naof_pending_bio_fsync:0\r")
}

func (s *server) kill() {
	s.t.Helper()
	if err := s.process.Process.Kill(); err != nil {
		s.t.Fatal(err)
	}
	s.process.Wait()
}

// config is how pec-milter connects.
func (s *server) config() RedisConfig {
	s.write("password", password+"\n")
	return RedisConfig{
		Addresses: []string{s.address}, User: "pec-milter", PasswordFile: filepath.Join(s.dir, "password"), Prefix: "pec:",
	}
}

func (s *server) write(name, content string) {
	s.t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, name), []byte(content), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// pass lets time pass for what the server keeps: its clock cannot be moved, so
// every time to live is made shorter.
func (s *server) pass(d time.Duration) {
	s.t.Helper()
	keys, err := s.admin.Keys(ctx, "*").Result()
	if err != nil {
		s.t.Fatal(err)
	}
	for _, key := range keys {
		left, err := s.admin.PTTL(ctx, key).Result()
		if err != nil || left < 0 {
			s.t.Fatalf("%s has %v left (%v), want every key to run out some day", key, left, err)
		}
		if err := s.admin.PExpire(ctx, key, max(left-d, time.Millisecond)).Err(); err != nil {
			s.t.Fatal(err)
		}
	}
	time.Sleep(5 * time.Millisecond)
}

// find skips aloud where a program is missing; where CI is set it must be there.
func find(t *testing.T, program string) {
	t.Helper()
	_, err := exec.LookPath(program)
	if err == nil {
		return
	}
	why := fmt.Sprintf("SKIPPED, NOT TESTED: %v: contrib/debian/setup.sh installs it", err)
	if os.Getenv("CI") != "" {
		t.Fatal(why)
	}
	t.Skip(why)
}

// freePort is a loopback address that nobody listens on.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func contents(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func absolute(t *testing.T, path string) string {
	t.Helper()
	path, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return path
}
