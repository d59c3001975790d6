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
	name     string   // of its directory
	lines    []string // of its configuration, besides
	process  *process
	password string
}

// StartRedis starts one. Its caller stops it.
func StartRedis(p *Provider) (*Redis, error) {
	r := &Redis{provider: p, name: "redis", password: rand.Text()}
	return r, r.begin()
}

// begin starts it for the first time.
func (r *Redis) begin() error {
	if err := r.writeFiles(); err != nil {
		return err
	}
	return r.Start()
}

func (r *Redis) file(name string) string { return filepath.Join(r.provider.Dir, r.name, name) }

func (r *Redis) writeFiles() error {
	if err := makeDirectories(r.provider.Dir, r.name); err != nil {
		return err
	}
	contrib := filepath.Join(r.provider.world.options.Contrib, "redis")
	acl, err := r.users("pec-milter.acl", "replication.acl")
	if err != nil {
		return err
	}
	acl += "user admin on nopass ~* &* +@all\n" // the story's own; its socket is in our directory
	conf := fmt.Sprintf("include %s\naclfile %s\ndir %s\nport 0\nunixsocket %s\n%s\n",
		filepath.Join(contrib, "pec-milter.conf"), r.file("users.acl"), r.file(""), r.file("redis.sock"), strings.Join(r.lines, "\n"))
	return errors.Join(
		os.WriteFile(r.file("users.acl"), []byte(acl), 0o600),
		os.WriteFile(r.file("redis.conf"), []byte(conf), 0o600),
		os.WriteFile(r.provider.daemonFile("redis-password"), []byte(r.password+"\n"), 0o600),
	)
}

// users are those of files of contrib; all have the one password.
func (r *Redis) users(files ...string) (acl string, err error) {
	hash := fmt.Sprintf("#%x", sha256.Sum256([]byte(r.password)))
	for _, name := range files {
		text, failed := os.ReadFile(filepath.Join(r.provider.world.options.Contrib, "redis", name))
		err = errors.Join(err, failed)
		acl += string(text)
	}
	return strings.NewReplacer("#SHA-256-OF-THE-PASSWORD", hash, "#SHA-256-OF-THE-REPLICA-PASSWORD", hash,
		"#SHA-256-OF-THE-SENTINEL-PASSWORD", hash).Replace(acl), err
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
		log:     filepath.Join(r.provider.Dir, r.name+".log"),
		guard:   r.provider.world.guard,
	}.start()
	if err != nil {
		return err
	}
	return waitFor(r.process.name, 30*time.Second, func() error {
		if r.process.ended() {
			return hopeless{errors.New("it ended: see " + r.name + ".log")}
		}
		return r.Do("PING")
	})
}

// Stop is Backend.Stop.
func (r *Redis) Stop() error { return r.process.stop() }

// Do runs a command of Redis as somebody who may do anything.
func (r *Redis) Do(command ...string) error {
	_, err := r.ask(command...)
	return err
}

// ask runs a command and gives its answer.
func (r *Redis) ask(command ...string) (string, error) {
	out, err := run(nil, append([]string{"redis-cli", "-s", r.file("redis.sock"), "--user", "admin", "--pass", "-", "--no-auth-warning"}, command...)...)
	if err == nil && strings.Contains(string(out), "ERR") {
		err = fmt.Errorf("redis %v: %s", command, out)
	}
	return string(out), err
}
