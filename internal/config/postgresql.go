package config

import (
	"net"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
)

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
