package config

import (
	"net"
	"reflect"
	"strings"
)

// Redis is where several nodes tell each other who works on which message just now.
// Without **addresses** it is not used, and then the other keys are an error. While
// Redis does not answer, mail gets 451. It may be lost at any time: the database has
// what counts. What must be set in Redis is in `contrib/redis/README.md`.
type Redis struct {
	// Addresses: list of sockets. One is a server. Several are servers of a Cluster, all
	// by TCP. With **master** they are Sentinels.
	Addresses []Socket `toml:"addresses"`
	// Master: text. The name that the Sentinels know the master by.
	Master string `toml:"master"`
	// User: text. The user of Redis; needs **password_file**. Without it Redis's own
	// default user.
	User string `toml:"user"`
	// PasswordFile: private file with the user's password alone. Sentinels are not given
	// it.
	PasswordFile string `toml:"password_file"`
	// TLSCA: path of a PEM file. The authorities that the certificates of the servers,
	// Sentinels included, come from. Turns TLS on, 1.2 or later. A server's certificate
	// must be for the host that we connect to.
	TLSCA string `toml:"tls_ca"`
	// TLSCertificate: path of a PEM file. Our certificate, for servers that ask for one;
	// with **tls_key**.
	TLSCertificate string `toml:"tls_certificate"`
	// TLSKey: private file in PEM, not encrypted. The key of **tls_certificate**.
	TLSKey string `toml:"tls_key"`
	// Database: whole number. The number of the database; a Cluster has only 0.
	Database int `toml:"database"`
	// Prefix: text of 1 to 32 letters, digits and `-_.:`. What all keys begin with.
	Prefix string `toml:"prefix"`
	// Insecure: `true` or `false`. Without both **tls_ca** and **password_file**, a
	// server on another host is an error, and so are Sentinels and a Cluster, which may
	// send us to other hosts. `true` allows them: whoever is between can then read the
	// password, and hold mail up.
	Insecure bool `toml:"insecure"`
}

// Used tells whether the state is on Redis.
func (r *Redis) Used() bool { return len(r.Addresses) > 0 }

// maxPrefix keeps the keys of Redis short.
const maxPrefix = 32

func (r *Redis) validate(f *faults) {
	if !r.Used() {
		if !reflect.DeepEqual(*r, defaults().Redis) {
			f.add("redis.addresses", "is missing, and the rest of the table is for it: name the servers, or remove the table")
		}
		return
	}
	r.validateAddresses(f)
	r.validateSecurity(f)
	if r.User != "" && r.PasswordFile == "" {
		f.add("redis.password_file", "is missing: the user %s needs it", r.User)
	}
	if (r.TLSCertificate == "") != (r.TLSKey == "") {
		f.add("redis.tls_certificate", "tls_certificate and tls_key go together: write both or none")
	}
	if r.TLSCertificate != "" && r.TLSCA == "" {
		f.add("redis.tls_ca", "is missing: without it there is no TLS, and tls_certificate is for that")
	}
	if r.Database < 0 || r.Database != 0 && r.cluster() {
		f.add("redis.database", "%d cannot be: write 0 or more, and 0 for a Cluster (several addresses without master)", r.Database)
	}
	if r.Prefix == "" || len(r.Prefix) > maxPrefix || strings.ContainsFunc(r.Prefix, isNoPrefix) {
		f.add("redis.prefix", "%q is no prefix: write at most %d letters, digits and -_.:", r.Prefix, maxPrefix)
	}
}

func isNoPrefix(c rune) bool {
	return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("-_.:", c)
}

// cluster tells whether the addresses are of a Cluster.
func (r *Redis) cluster() bool { return r.Master == "" && len(r.Addresses) > 1 }

func (r *Redis) validateAddresses(f *faults) {
	for _, s := range r.sockets() {
		switch {
		case s.socket.fault != nil:
			f.add(s.key, "%v", s.socket.fault)
		case s.socket.Network == "unix" && r.cluster():
			f.add(s.key, "%s cannot be one of a Cluster: name one server, or several by inet:host:port", s.socket)
		case s.socket.Network == "unix" && r.TLSCA != "":
			f.add(s.key, "%s needs no TLS: remove tls_ca, or write inet:host:port", s.socket)
		case s.socket.Network == "unix":
			f.unixPath(s.key, s.socket.Address)
		}
	}
}

// validateSecurity: what travels in clear to another host can be read and
// changed there. Where Sentinels or a Cluster name the servers, these may be
// anywhere.
func (r *Redis) validateSecurity(f *faults) {
	if r.Insecure || r.TLSCA != "" && r.PasswordFile != "" {
		return
	}
	const remedy = "without TLS and a password whoever is between can hold mail up: " +
		"write tls_ca and password_file, or, if nobody can be there, insecure = true under [redis]"
	if r.Master != "" || r.cluster() {
		f.add("redis.addresses", "Sentinels and a Cluster send us to servers that may be on other hosts; %s", remedy)
		return
	}
	for _, s := range r.Addresses {
		if s.Network == "tcp" && !isLoopback(s.Address) {
			f.add("redis.addresses", "%s is on another host; %s", s, remedy)
		}
	}
}

func isLoopback(address string) bool {
	host, _, _ := net.SplitHostPort(address)
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// sockets are the addresses, for the checks that all sockets pass.
func (r *Redis) sockets() []namedSocket {
	var all []namedSocket
	for i := range r.Addresses {
		all = append(all, namedSocket{"redis.addresses", &r.Addresses[i]})
	}
	return all
}
