//go:build integration

package integration

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/pec-milter/pec-milter/internal/testpostgres"
)

// nodeServers are what the nodes of alfa share, and the network of the first
// node, which may be cut off from them.
type nodeServers struct {
	network   *namespace // nil: all are on loopback
	redis     *Redis
	replica   *Redis // nil without Sentinels
	sentinels []*process
	redisPort int
	ports     []int // of the Sentinels
	postgres  *testpostgres.Server
}

// backend is for Options.Backend: the first node starts the servers, and the
// second one uses them. Beta has SQLite.
func (n *nodeServers) backend(sentinel bool) func(*Provider) (Backend, error) {
	return func(p *Provider) (Backend, error) {
		switch p.Name {
		case "alfa":
			return n, n.start(p, sentinel)
		case "alfa2":
			return onlyUsed{n}, nil
		}
		return nil, nil
	}
}

// onlyUsed are servers that another node stops.
type onlyUsed struct{ *nodeServers }

// Stop is Backend.Stop.
func (onlyUsed) Stop() error { return nil }

func (n *nodeServers) start(p *Provider, sentinel bool) (err error) {
	if allNodes { // the few rows of make test do without the rights that it needs
		if n.network, err = startNamespace(p); err != nil {
			return err
		}
		if err := n.moveDaemon(p); err != nil {
			return err
		}
	}
	if err := n.startPostgreSQL(p); err != nil {
		return err
	}
	if n.redisPort, err = FreePort(); err != nil {
		return err
	}
	n.redis = &Redis{provider: p, name: "redis", password: rand.Text(), lines: n.listen(n.redisPort)}
	if err := n.redis.begin(); err != nil || !sentinel {
		return err
	}
	return n.startSentinels(p)
}

// moveDaemon has the daemon run in the namespace. The proxy before its inject port
// is on the loopback of that; all else that is beside it has unix sockets.
func (n *nodeServers) moveDaemon(p *Provider) error {
	listener, err := n.network.listen()
	if err = errors.Join(err, p.inject.Close()); err != nil {
		return err
	}
	p.inject = newProxy(listener, "tcp", address(p.Ports.Inject))
	p.enter = n.network.enter()
	return p.writeConfig()
}

func (n *nodeServers) startPostgreSQL(p *Provider) (err error) {
	if n.postgres, err = testpostgres.Start("listen_addresses=127.0.0.1," + n.address(postgresHost)); err != nil {
		return err
	}
	if err := migrate(n.postgres); err != nil {
		return err
	}
	password := os.WriteFile(p.daemonFile("postgresql-password"), []byte(testpostgres.Password+"\n"), 0o600)
	if n.network == nil {
		return password
	}
	access := filepath.Join(n.postgres.Directory, "data", "pg_hba.conf")
	text, err := os.ReadFile(access)
	if err != nil {
		return err
	}
	text = append(text, "host all all "+n.network.prefix+"0/24 scram-sha-256\n"...)
	return errors.Join(password, os.WriteFile(access, text, 0o600), n.postgres.SQL("SELECT pg_reload_conf();"))
}

// address is where both nodes find a server.
func (n *nodeServers) address(host int) string {
	if n.network == nil {
		return "127.0.0.1"
	}
	return n.network.address(host)
}

// listen are the lines of a Redis that listens where both nodes reach it, and can
// have replicas. They have one password.
func (n *nodeServers) listen(port int) []string {
	return []string{fmt.Sprintf("port %d", port), "bind " + n.address(redisHost), "protected-mode no", "repl-diskless-sync-delay 0"}
}

// startSentinels starts a replica and three Sentinels, and waits until they know
// of each other.
func (n *nodeServers) startSentinels(p *Provider) error {
	host := n.address(redisHost)
	port, err := FreePort()
	if err != nil {
		return err
	}
	replication := []string{"masteruser pec-replica", "masterauth " + n.redis.password, "replica-announce-ip " + host}
	n.replica = &Redis{provider: p, name: "replica", password: n.redis.password, lines: append(append(n.listen(port), replication...),
		fmt.Sprintf("replicaof %s %d", host, n.redisPort))}
	n.redis.lines = append(n.redis.lines, replication...) // it will be a replica one day
	err = errors.Join(n.redis.process.stop(), n.redis.begin(), n.replica.begin())
	for i := range 3 {
		err = errors.Join(err, n.startSentinel(p, fmt.Sprintf("sentinel%d", i)))
	}
	if err != nil {
		return err
	}
	return waitFor("Sentinels", 30*time.Second, n.sentinelsKnow)
}

func (n *nodeServers) startSentinel(p *Provider, name string) error {
	port, err := FreePort()
	if err != nil {
		return err
	}
	n.ports = append(n.ports, port)
	host, dir := n.address(redisHost), filepath.Join(p.Dir, name)
	conf := filepath.Join(dir, "sentinel.conf")
	text := fmt.Sprintf("bind %s\nprotected-mode no\nport %d\ndir %s\nsentinel announce-ip %s\n", host, port, dir, host) +
		fmt.Sprintf("sentinel monitor pec %s %d 2\nsentinel auth-user pec pec-sentinel\nsentinel auth-pass pec %s\n", host, n.redisPort, n.redis.password) +
		"sentinel down-after-milliseconds pec 2000\nsentinel failover-timeout pec 10000\n"
	if err := errors.Join(makeDirectories(p.Dir, name), os.WriteFile(conf, []byte(text), 0o600)); err != nil {
		return err
	}
	sentinel, err := program{
		name: name, command: []string{"redis-server", conf, "--sentinel"},
		log: filepath.Join(p.Dir, name+".log"), guard: p.world.guard,
	}.start()
	n.sentinels = append(n.sentinels, sentinel)
	return err
}

// sentinelsKnow: each has seen the replica and the two others.
func (n *nodeServers) sentinelsKnow() error {
	for _, port := range n.ports {
		out, err := run(nil, "redis-cli", "-h", n.address(redisHost), "-p", fmt.Sprint(port), "SENTINEL", "MASTER", "pec")
		if err != nil {
			return err
		}
		fields := strings.Fields(string(out))
		for i, field := range fields {
			if (field == "num-slaves" && fields[i+1] != "1") || (field == "num-other-sentinels" && fields[i+1] != "2") {
				return fmt.Errorf("%s %s", field, fields[i+1])
			}
		}
	}
	return nil
}

// Settings is Backend.Settings.
func (n *nodeServers) Settings() string {
	host := n.address(redisHost)
	ports, master := n.ports, `master = "pec"`
	if n.replica == nil {
		ports, master = []int{n.redisPort}, ""
	}
	var addresses []string
	for _, port := range ports {
		addresses = append(addresses, fmt.Sprintf("%q", fmt.Sprintf("inet:%s:%d", host, port)))
	}
	insecure := "insecure = true"
	if n.network == nil {
		insecure = ""
	}
	return fmt.Sprintf("\n[redis]\naddresses = [%s]\n%s\nuser = \"pec-milter\"\npassword_file = \"redis-password\"\n%s\n",
		strings.Join(addresses, ", "), master, insecure) +
		fmt.Sprintf("\n[postgresql]\nhosts = [%q]\nport = %d\ndatabase = %q\nuser = %q\npassword_file = \"postgresql-password\"\n%s\n",
			n.address(postgresHost), n.postgres.Port, testpostgres.Role, testpostgres.Role, insecure)
}

// Stop is Backend.Stop.
func (n *nodeServers) Stop() error {
	var errs []error
	for _, sentinel := range n.sentinels {
		errs = append(errs, sentinel.stop())
	}
	if n.replica != nil {
		errs = append(errs, n.replica.Stop())
	}
	if n.redis != nil {
		errs = append(errs, n.redis.Stop())
	}
	if n.postgres != nil {
		errs = append(errs, n.postgres.Stop())
	}
	if n.network != nil {
		errs = append(errs, n.network.stop())
	}
	return errors.Join(errs...)
}
