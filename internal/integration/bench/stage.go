package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/pec-milter/pec-milter/internal/integration"
	"github.com/pec-milter/pec-milter/internal/testpostgres"
)

// The providers. The first is also where pec-milter is compared with others.
const (
	local    = "local"    // SQLite, key file, unix sockets
	tcp      = "tcp"      // the same, and the milter over TCP
	token    = "token"    // the same, and the key on SoftHSM
	slow     = "slow"     // the same, and SoftHSM takes 10 ms for a signature, one at a time
	unlogged = "unlogged" // as the first, without a legal log
	servers  = "servers"  // the same, and Redis and PostgreSQL
	peer     = "peer"     // as the first: the other end of the round trip
)

// outside is a domain that is not certified, whose mail server is the sink.
const outside = "sink.example"

// startWorld starts the providers that the mode needs.
func (b *bench) startWorld(ctx context.Context) error {
	binary, err := filepath.Abs(b.binary)
	contrib, failed := filepath.Abs("contrib")
	if err = errors.Join(err, failed); err != nil {
		return err
	}
	b.world, err = integration.Start(ctx, integration.Options{
		Binary: binary, Contrib: contrib,
		Providers: b.mode.providers, Backend: b.backend, Variant: b.difference,
	})
	if err != nil {
		return err
	}
	return b.addUsers()
}

// difference is what the providers have otherwise than in the stories: the sink
// for a mailbox store, no antivirus, and a quiet log.
func (b *bench) difference(provider string) integration.Variant {
	v := integration.Variant{
		NoAntivirus: true, KeyFile: provider != token && provider != slow, TCP: provider == tcp, Mailbox: b.sink.socket(), LogLevel: "info",
		Unlogged: provider == unlogged,
	}
	if provider == slow {
		v.SlowToken = slowSignature
	}
	return v
}

func (b *bench) backend(p *integration.Provider) (integration.Backend, error) {
	if p.Name != servers {
		return nil, nil
	}
	s := &redisAndPostgreSQL{}
	var err error
	if s.postgres, err = testpostgres.Start(); err != nil {
		return nil, err
	}
	if s.Redis, err = integration.StartRedis(p); err != nil {
		return nil, errors.Join(err, s.postgres.Stop())
	}
	b.servers = s
	return s, s.migrate(p)
}

// redisAndPostgreSQL keep the state and the legal log of a provider.
type redisAndPostgreSQL struct {
	*integration.Redis
	postgres *testpostgres.Server
}

// migrate makes the tables, with the configuration that the daemon will have.
func (s *redisAndPostgreSQL) migrate(p *integration.Provider) error {
	directory := filepath.Dir(p.ConfigFile())
	password, with := filepath.Join(directory, "postgresql-password"), filepath.Join(directory, "migrate.toml")
	config, err := os.ReadFile(p.ConfigFile())
	err = errors.Join(err, os.WriteFile(password, []byte(testpostgres.Password+"\n"), 0o600),
		os.WriteFile(with, append(config, s.Settings()...), 0o600))
	if err != nil {
		return err
	}
	_, err = p.Command("database", "migrate", "--config", with, "--owner-password-file", password)
	return err
}

// Settings is integration.Backend's.
func (s *redisAndPostgreSQL) Settings() string {
	return s.Redis.Settings() + fmt.Sprintf("\n[postgresql]\nhosts = [\"127.0.0.1\"]\nport = %d\ndatabase = %q\nuser = %q\npassword_file = \"postgresql-password\"\n",
		s.postgres.Port, testpostgres.Role, testpostgres.Role)
}

// Stop is integration.Backend's.
func (s *redisAndPostgreSQL) Stop() error { return errors.Join(s.Redis.Stop(), s.postgres.Stop()) }

// addUsers makes the users, and has every Postfix find the sink from the next
// reload on.
func (b *bench) addUsers() error {
	for _, p := range b.world.Providers {
		table, err := p.PostfixSetting("transport_maps")
		if err != nil {
			return err
		}
		route := fmt.Sprintf("transport_maps=inline:{{%s=lmtp:unix:%s}}, %s", outside, b.sink.socket(), table[len("transport_maps = "):])
		if err := errors.Join(p.AddUsers("mittente", "destinatario"), p.Configure("-e", route)); err != nil {
			return err
		}
	}
	return nil
}

// startVariants makes what is measured. What is not installed is told and left out.
func (b *bench) startVariants() error {
	first := b.world.Provider(local)
	for _, c := range comparisons {
		if err := b.startComparison(first, c); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
	}
	if err := b.reload(); err != nil {
		return err
	}
	for _, d := range []struct{ provider, name string }{
		{local, certified}, {tcp, overTCP}, {token, withToken}, {slow, withSlowToken}, {servers, onServers}, {unlogged, withoutLog},
	} {
		if p := b.world.Provider(d.provider); p != nil {
			b.add(&variant{name: d.name, at: p, port: p.Ports.Submission, to: "destinatario@" + outside, due: 2,
				nodes: []*integration.Provider{p}, pids: b.withServers(p)})
		}
	}
	second := b.world.Provider(peer)
	pids := first.PIDs()
	for name, pid := range second.PIDs() {
		pids[name+" of the peer"] = pid
	}
	b.add(&variant{name: roundTrip, at: first, port: first.Ports.Submission, to: "destinatario@" + second.Domain, due: 4,
		nodes: []*integration.Provider{first, second}, pids: pids})
	return nil
}

// reload puts all that was configured in force, and waits for the services.
func (b *bench) reload() error {
	for _, p := range b.world.Providers {
		if err := p.Reload(); err != nil {
			return err
		}
	}
	for _, v := range b.variants {
		if err := await("tcp", fmt.Sprintf("127.0.0.1:%d", v.port)); err != nil {
			return fmt.Errorf("%s: %w", v.name, err)
		}
	}
	return nil
}

func (b *bench) startComparison(p *integration.Provider, c compared) error {
	if c.program != "" {
		if _, err := exec.LookPath(c.program); err != nil {
			b.leaveOut(c.name, err)
			return nil
		}
	}
	pid, settings, err := c.start(p)
	if err != nil {
		return err
	}
	port, err := integration.FreePort()
	if err != nil {
		return err
	}
	if err := p.AddSubmission(port, settings...); err != nil {
		return err
	}
	pids := map[string]int{"Postfix": p.PIDs()["Postfix"]}
	if pid != 0 {
		pids[c.name] = pid
	}
	b.add(&variant{name: c.name, at: p, port: port, to: "destinatario@" + outside, due: 1, nodes: []*integration.Provider{p}, pids: pids})
	return nil
}

// withServers are the processes of a provider, with its Redis and PostgreSQL.
func (b *bench) withServers(p *integration.Provider) map[string]int {
	pids := p.PIDs()
	if p.Name == servers {
		pids["Redis"], pids["PostgreSQL"] = b.servers.Redis.PID(), b.servers.postgres.PID()
	}
	return pids
}

func (b *bench) add(v *variant) { b.variants = append(b.variants, v) }

// variant finds a variant by its name; nil if it was left out.
func (b *bench) variant(name string) *variant {
	for _, v := range b.variants {
		if v.name == name {
			return v
		}
	}
	return nil
}
