package integration

import (
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Backend is what a provider's pec-milter keeps its state in, instead of a file of
// its own.
type Backend interface {
	// Settings are the tables of the configuration that name it.
	Settings() string
	Stop() error
}

// Redis is a provider's own redis-server, with the files of contrib/redis.
type Redis struct {
	provider *Provider
	process  *process
	password string
}

// StartRedis starts one. Its caller stops it.
func StartRedis(p *Provider) (*Redis, error) {
	r := &Redis{provider: p, password: rand.Text()}
	if err := r.writeFiles(); err != nil {
		return nil, err
	}
	return r, r.Start()
}

func (r *Redis) file(name string) string { return filepath.Join(r.provider.Dir, "redis", name) }

func (r *Redis) writeFiles() error {
	if err := makeDirectories(r.provider.Dir, "redis"); err != nil {
		return err
	}
	contrib := filepath.Join(r.provider.world.options.Contrib, "redis")
	users, err := os.ReadFile(filepath.Join(contrib, "pec-milter.acl"))
	if err != nil {
		return err
	}
	acl := strings.ReplaceAll(string(users), "SHA-256-OF-THE-PASSWORD", fmt.Sprintf("%x", sha256.Sum256([]byte(r.password))))
	acl += "user admin on nopass ~* &* +@all\n" // the story's own; its socket is in our directory
	conf := fmt.Sprintf("include %s\naclfile %s\ndir %s\nport 0\nunixsocket %s\n",
		filepath.Join(contrib, "pec-milter.conf"), r.file("users.acl"), r.file(""), r.file("redis.sock"))
	return errors.Join(
		os.WriteFile(r.file("users.acl"), []byte(acl), 0o600),
		os.WriteFile(r.file("redis.conf"), []byte(conf), 0o600),
		os.WriteFile(r.provider.daemonFile("redis-password"), []byte(r.password+"\n"), 0o600),
	)
}

// Settings is Backend.Settings.
func (r *Redis) Settings() string {
	return fmt.Sprintf("\n[redis]\naddresses = [\"unix:%s\"]\nuser = \"pec-milter\"\npassword_file = \"redis-password\"\n", r.file("redis.sock"))
}

// Start starts it, or starts it again, and waits until it answers.
func (r *Redis) Start() (err error) {
	r.process, err = program{
		name:    "Redis of " + r.provider.Name,
		command: []string{"redis-server", r.file("redis.conf")},
		log:     filepath.Join(r.provider.Dir, "redis.log"),
		guard:   r.provider.world.guard,
	}.start()
	if err != nil {
		return err
	}
	return waitFor(r.process.name, 30*time.Second, func() error {
		if r.process.ended() {
			return hopeless{errors.New("it ended: see redis.log")}
		}
		return r.Do("PING")
	})
}

// Stop is Backend.Stop.
func (r *Redis) Stop() error { return r.process.stop() }

// Do runs a command of Redis as somebody who may do anything.
func (r *Redis) Do(command ...string) error {
	out, err := run(nil, append([]string{"redis-cli", "-s", r.file("redis.sock"), "--user", "admin", "--pass", "-", "--no-auth-warning"}, command...)...)
	if err == nil && strings.Contains(string(out), "ERR") {
		err = fmt.Errorf("redis %v: %s", command, out)
	}
	return err
}
