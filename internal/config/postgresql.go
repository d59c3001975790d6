package config

import (
	"net"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
)

// PostgreSQL is the place of legal log and records for more than one node. Without
// any of these keys they are in the file of **[state]**. What is in the one is not
// moved to the other. `contrib/postgresql` makes the roles and the database,
// **pec-milter database migrate** the tables.
type PostgreSQL struct {
	// Hosts: list of texts, required if any other key is given. The servers: host names,
	// addresses, or directories of a unix socket. They are tried in their order, and the
	// first that takes writes is used.
	Hosts []string `toml:"hosts"`
	// Port: whole number. The port of all of them.
	Port int `toml:"port"`
	// Database: text, required with **hosts**.
	Database string `toml:"database"`
	// User: text, required with **hosts**. The role.
	User string `toml:"user"`
	// PasswordFile: private file with the role's password alone. Without it the server
	// must know us in another way, as by the peer of a unix socket.
	PasswordFile string `toml:"password_file"`
	// CAFile: path of a PEM file. The authorities that the servers' certificates are
	// verified with. Without it those of the system. With it, TLS is required on this
	// machine too, except on a unix socket.
	CAFile string `toml:"ca_file"`
	// Insecure: `true` or `false`. A server on another machine must speak TLS and have a
	// certificate for the name in **hosts** that verifies. `true` drops that, and there
	// is no TLS: whoever is on the way can read and change the legal log.
	Insecure bool `toml:"insecure"`
}

// Given tells whether the configuration has a PostgreSQL database.
func (p *PostgreSQL) Given() bool { return !reflect.DeepEqual(*p, defaults().PostgreSQL) }

// TLS tells whether the connection must be encrypted and the server's
// certificate verified: always when a server is on another machine, unless the
// operator wrote that it need not be; elsewhere if he gave an authority.
func (p *PostgreSQL) TLS() bool {
	return p.CAFile != "" || !p.Insecure && slices.ContainsFunc(p.Hosts, elsewhere)
}

// elsewhere tells whether a server is reached through a network.
func elsewhere(host string) bool {
	ip := net.ParseIP(host)
	return !filepath.IsAbs(host) && host != "localhost" && (ip == nil || !ip.IsLoopback())
}

// ReadPassword reads the role's password; the line's end does not count. Without
// a file it is empty.
func (p *PostgreSQL) ReadPassword() (Secret, error) {
	if p.PasswordFile == "" {
		return Secret{}, nil
	}
	return readLine(p.PasswordFile)
}

func isServer(host string) bool {
	return host != "" && !strings.ContainsAny(host, ", \t") &&
		(filepath.IsAbs(host) || net.ParseIP(host) != nil || !strings.ContainsAny(host, ":/"))
}

func (p *PostgreSQL) validate(f *faults) {
	if !p.Given() {
		return
	}
	if len(p.Hosts) == 0 {
		f.add("postgresql.hosts", "name at least one server, or remove the table: legal log and records are then in state.file")
	}
	for _, host := range p.Hosts {
		if !isServer(host) {
			f.add("postgresql.hosts", "%q is no server: write a host name, an address without a port, or the whole path of a unix socket's directory", host)
		}
	}
	if p.Port < 1 || p.Port > 65535 {
		f.add("postgresql.port", "%d is no port", p.Port)
	}
	f.required("postgresql.database", p.Database)
	f.required("postgresql.user", p.User)
	if p.Insecure && p.CAFile != "" {
		f.add("postgresql.insecure", "with ca_file the connection is verified: remove the one or the other")
	}
	if p.Insecure && p.CAFile == "" && len(p.Hosts) > 0 && !slices.ContainsFunc(p.Hosts, elsewhere) {
		f.add("postgresql.insecure", "all hosts are on this machine, which needs no TLS: remove it")
	}
}
