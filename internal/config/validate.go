package config

import (
	"fmt"
	"net"
	"net/mail"
	"slices"
	"strings"
	"time"
)

// validate adds every fault of the values.
func (c *Config) validate(f *faults) {
	c.validateAntivirus(f)
	c.Provider.validate(f)
	c.validateSockets(f)
	c.Access.validate(f)
	if c.Incoming.SHA1Until.fault != nil {
		f.add("incoming.sha1_until", "%v", c.Incoming.SHA1Until.fault)
	}
	c.Inject.validate(f)
	c.MTA.validate(f)
	c.Signer.validate(f, c.MTA.ContentTimeout.Duration)
	c.validateDirectory(f)
	f.required("accounts.file", c.Accounts.File)
	f.required("state.file", c.State.File)
	if strings.ContainsFunc(c.State.Node, isControl) {
		f.add("state.node", "%q must be one line of text", c.State.Node)
	}
	c.Redis.validate(f)
	c.PostgreSQL.validate(f)
	c.LegalLog.validate(f)
	c.Log.validate(f)
	c.Metrics.validate(f)
}

// validateAntivirus: it must be seen in the file that nothing scans.
func (c *Config) validateAntivirus(f *faults) {
	const remedy = `write antivirus = "clamd" at the top of the file, before the first table; or "none", which must be ` +
		"written out: mail is then certified without a scan for viruses, against RFC 6109 sections 3.1.3 and 3.2.3"
	switch c.Antivirus {
	case AntivirusClamd:
		f.required("quarantine.directory", c.Quarantine.Directory)
		f.withinMTA("clamd.timeout", c.Clamd.Timeout, c.MTA.ContentTimeout.Duration)
	case AntivirusNone:
		c.validateUnscanned(f)
	case "":
		f.add("antivirus", "is missing: %s", remedy)
	default:
		f.add("antivirus", "%q is not known: %s", c.Antivirus, remedy)
	}
}

// validateUnscanned: who gives settings of an antivirus wants one.
func (c *Config) validateUnscanned(f *faults) {
	const remedy = `is given, but with antivirus = "none" nothing scans: write antivirus = "clamd", or remove the table`
	if c.Clamd != defaults().Clamd {
		f.add("clamd", remedy)
	}
	if c.Quarantine != (Quarantine{}) {
		f.add("quarantine", remedy)
	}
}

// What the law asks for at least, DM 2-11-2005 art. 12: the product of size and
// recipients in bytes, and the number of recipients.
const (
	leastTotal      = 30_000_000
	leastRecipients = 50
)

func (a *Access) validate(f *faults) {
	if a.MaxTotal != 0 && a.MaxTotal < leastTotal {
		f.add("access.max_total", "%d is too small: size times recipients up to 30 MB must be accepted; write at least %d, or 0 for no limit",
			a.MaxTotal, leastTotal)
	}
	if a.MaxRecipients < leastRecipients {
		f.add("access.max_recipients", "%d is too small: %d recipients must be accepted; write at least that", a.MaxRecipients, leastRecipients)
	}
}

func (p *Provider) validate(f *faults) {
	if f.required("provider.name", p.Name) && strings.ContainsFunc(p.Name, isControl) {
		f.add("provider.name", "%q must be one line of text", p.Name)
	}
	if f.required("provider.domain", p.Domain) {
		p.Domain = f.domain("provider.domain", p.Domain)
	}
	if len(p.Domains) == 0 {
		f.add("provider.domains", "name at least one certified domain")
	}
	for i, domain := range p.Domains {
		p.Domains[i] = f.domain("provider.domains", domain)
		if slices.Contains(p.Domains[:i], p.Domains[i]) {
			f.add("provider.domains", "%s stands there twice", p.Domains[i])
		}
	}
	p.Address = p.own(f, "provider.address", p.Address)
	p.MailReceipt = p.own(f, "provider.mail_receipt", p.MailReceipt)
	f.required("provider.secret_file", p.SecretFile)
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }

// own checks an address of the provider itself and gives it with its domain in
// lower case.
func (p *Provider) own(f *faults, key, address string) string {
	if !f.required(key, address) {
		return address
	}
	local, domain, ok := splitAddress(address)
	if !ok {
		f.add(key, "%q is no address: write it as name@domain, without angle brackets", address)
		return address
	}
	// Without a domain every address would be wrong: one fault is enough.
	if p.Domain != "" && domain != p.Domain && !slices.Contains(p.Domains, domain) {
		f.add(key, "%s is in none of the provider's domains: provider.domain and provider.domains must have %s, or the address be another",
			address, domain)
	}
	return local + "@" + domain
}

// splitAddress takes addresses in ASCII only: they stand in certificates.
func splitAddress(address string) (local, domain string, ok bool) {
	parsed, err := mail.ParseAddress(address)
	if err != nil || parsed.Address != address {
		return "", "", false
	}
	at := strings.LastIndexByte(address, '@')
	local, domain = address[:at], strings.ToLower(address[at+1:])
	return local, domain, isASCII(local) && isDomain(domain)
}

func isASCII(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return r >= 0x80 })
}

// isDomain: RFC 5321 section 4.1.2, in lower case; at least two labels.
func isDomain(domain string) bool {
	labels := strings.Split(domain, ".")
	for _, label := range labels {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' ||
			strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			return false
		}
	}
	return len(labels) > 1 && len(domain) <= 253
}

// validateSockets: each is there, can be bound, and is none of the others.
func (c *Config) validateSockets(f *faults) {
	seen := make(map[string]string)
	if c.Inject.Address != "" {
		seen["inet:"+c.Inject.Address] = "inject.address"
	}
	for _, s := range append(c.sockets(), c.Metrics.sockets()...) {
		switch {
		case s.socket.fault != nil:
			f.add(s.key, "%v", s.socket.fault)
		case !f.required(s.key, s.socket.String()):
		case s.socket.Network == "unix" && !f.unixPath(s.key, s.socket.Address):
		case s.isDoor() && s.socket.Network == "tcp" && !isLoopback(s.socket.Address):
			f.add(s.key, "%s can be reached from other hosts, and whoever reaches it can have mail certified in anybody's name: "+
				"write unix:/path or inet:127.0.0.1:port; for an MTA on another host use a tunnel", s.socket)
		case seen[s.socket.String()] != "":
			f.add(s.key, "%s is the socket of %s too: each needs one of its own", s.socket, seen[s.socket.String()])
		}
		if text := s.socket.String(); text != "" && seen[text] == "" {
			seen[text] = s.key
		}
	}
}

// isDoor tells whether it is a socket that the MTA connects to.
func (s namedSocket) isDoor() bool {
	return slices.Contains([]string{"access.listen", "incoming.listen", "delivery.listen"}, s.key)
}

// maxUnixPath is the room for a path in Linux's sockaddr_un, less the final NUL.
const maxUnixPath = 107

// unixPath tells whether a path is short enough for a unix socket.
func (f *faults) unixPath(key, path string) bool {
	if len(path) > maxUnixPath {
		f.add(key, "the path of a unix socket has at most %d bytes, and %s has %d: choose a shorter directory", maxUnixPath, path, len(path))
	}
	return len(path) <= maxUnixPath
}

func (i *Inject) validate(f *faults) {
	if f.required("inject.address", i.Address) {
		host, _, err := splitHostPort(i.Address)
		switch ip := net.ParseIP(host); {
		case err != nil:
			f.add("inject.address", "%q is no host and port: write it as 127.0.0.1:10027", i.Address)
		case host != "localhost" && (ip == nil || !ip.IsLoopback()):
			f.add("inject.address", "%s is no loopback address: who reaches this port can forge notices, so it must be 127.0.0.1, [::1] or localhost", host)
		}
	}
	if strings.ContainsFunc(i.Hello, func(r rune) bool { return r <= ' ' || r >= 0x7f }) || i.Hello == "" {
		f.add("inject.hello", "%q is no host name", i.Hello)
	}
}

func (m *MTA) validate(f *faults) {
	if m.ContentTimeout.fault != nil {
		f.add("mta.content_timeout", "%v", m.ContentTimeout.fault)
	}
	if m.MaxSize <= 0 {
		f.add("mta.max_size", "%d is no size: write a positive number of bytes", m.MaxSize)
	}
	f.required("mta.spool_directory", m.SpoolDirectory)
	// The delivery door takes twice max_size, and must not stop at one message.
	if least := 4 * m.MaxSize; m.MaxSpool != 0 && m.MaxSpool < least {
		f.add("mta.max_spool", "%d is too small for messages of mta.max_size: write at least %d, 4 times that, or 0 for no bound", m.MaxSpool, least)
	}
	if m.MinFree < 0 {
		f.add("mta.min_free", "%d is no size: write a number of bytes, or 0", m.MinFree)
	}
	if m.MaxConcurrent < 0 {
		f.add("mta.max_concurrent", "%d is too small: write a positive number, or 0 for 4 for each processor", m.MaxConcurrent)
	}
	if m.MaxConnections < 1 {
		f.add("mta.max_connections", "%d is too small: write a positive number", m.MaxConnections)
	}
}

func (s *Signer) validate(f *faults, contentTimeout time.Duration) {
	f.required("signer.certificate_file", s.CertificateFile)
	token := s.SignerToken.given() || len(s.Spares) > 0
	switch {
	case s.KeyFile != "" && token:
		f.add("signer", "key_file and the keys of a PKCS#11 token exclude each other: remove the one or the others")
	case s.KeyFile == "" && !token:
		f.add("signer", "no key: write key_file, or module, token and key_label of a PKCS#11 token")
	case token:
		s.validateTokens(f)
	}
	if s.KeyID.fault != nil {
		f.add("signer.key_id", "%v", s.KeyID.fault)
	}
	f.withinMTA("signer.timeout", s.Timeout, contentTimeout)
}

// validateTokens checks the token and its spares. A token that stands there twice
// would be asked twice with a PIN that may be wrong.
func (s *Signer) validateTokens(f *faults) {
	s.SignerToken.validate(f, "signer")
	all := []*SignerToken{&s.SignerToken}
	for i := range s.Spares {
		spare := &s.Spares[i]
		spare.validate(f, "signer.spare")
		if spare.KeyID.fault != nil {
			f.add("signer.spare.key_id", "%v", spare.KeyID.fault)
		}
		if slices.ContainsFunc(all, spare.same) {
			f.add("signer.spare", "%s is there twice: name another token, or remove it", spare.chosen())
		}
		all = append(all, spare)
	}
}

func (t *SignerToken) given() bool {
	return t.Module != "" || t.chosen() != "" || t.KeyLabel != "" || t.KeyID.Bytes != nil || t.PINFile != ""
}

func (t *SignerToken) same(other *SignerToken) bool {
	return t.chosen() != "" && t.chosen() == other.chosen() && t.Module == other.Module
}

// chosen is the way in which the token is chosen, for people; empty: none.
func (t *SignerToken) chosen() string {
	var ways []string
	if t.Token != "" {
		ways = append(ways, fmt.Sprintf("token %q", t.Token))
	}
	if t.TokenSerial != "" {
		ways = append(ways, fmt.Sprintf("token_serial %q", t.TokenSerial))
	}
	if t.TokenSlot != nil {
		ways = append(ways, fmt.Sprintf("token_slot %d", *t.TokenSlot))
	}
	return strings.Join(ways, " and ")
}

func (t *SignerToken) validate(f *faults, table string) {
	f.required(table+".module", t.Module)
	ways := 0
	for _, given := range []bool{t.Token != "", t.TokenSerial != "", t.TokenSlot != nil} {
		if given {
			ways++
		}
	}
	if ways != 1 {
		f.add(table+".token", "%d ways to choose the token: write exactly one of token (its label), token_serial and token_slot", ways)
	}
	if t.KeyLabel == "" && t.KeyID.Bytes == nil && t.KeyID.fault == nil {
		f.add(table+".key_label", "is missing: write key_label, key_id or both")
	}
	if t.Sessions < 0 {
		f.add(table+".sessions", "%d is too small: write a positive number, or 0 for 16", t.Sessions)
	}
}

func (l *Log) validate(f *faults) {
	if !slices.Contains(LogFormats(), l.Format) {
		f.add("log.format", "%q is no format: write text, json or journald", l.Format)
	}
	if l.Addresses != AddressesPlain && l.Addresses != AddressesHashed {
		f.add("log.addresses", "%q is not known: write plain or hashed", l.Addresses)
	}
	if l.Level.fault != nil {
		f.add("log.level", "%v", l.Level.fault)
	}
}

func (m *Metrics) validate(f *faults) {
	const key = "metrics.listen"
	switch {
	case m.Listen.fault != nil:
		f.add(key, "%v", m.Listen.fault)
	case m.Listen == Socket{} && m.Insecure:
		f.add(key, "is missing, and insecure is for it: write both or none")
	case m.Listen.Network == "tcp" && !m.Insecure && !isLoopback(m.Listen.Address):
		f.add(key, "%s can be reached from other hosts, and has no password: write unix:/path or inet:127.0.0.1:port, "+
			"or, if only the monitoring can reach it, insecure = true under [metrics]", m.Listen)
	}
}

// required tells whether a key has a value.
func (f *faults) required(key, value string) bool {
	if value == "" {
		f.add(key, "is missing, and has no default")
	}
	return value != ""
}

// withinMTA checks a duration that the MTA must outwait.
func (f *faults) withinMTA(key string, d Duration, contentTimeout time.Duration) {
	if d.fault != nil {
		f.add(key, "%v", d.fault)
	} else if most := contentTimeout / 10 * 8; contentTimeout > 0 && d.Duration > most {
		f.add(key, "%v is over 0.8 of mta.content_timeout: the MTA would give up first; write at most %v", d, most)
	}
}

// domain checks a domain and gives it in lower case.
func (f *faults) domain(key, domain string) string {
	lower := strings.ToLower(domain)
	if !isDomain(lower) {
		f.add(key, "%q is no domain: write it as alfa.example, in ASCII", domain)
	}
	return lower
}

// namedSocket is a socket with the key that gives it.
type namedSocket struct {
	key    string
	socket *Socket
}

// sockets is the one of the metrics, if there is one that could be read.
func (m *Metrics) sockets() []namedSocket {
	if m.Listen.Network == "" {
		return nil
	}
	return []namedSocket{{"metrics.listen", &m.Listen}}
}

// sockets are those that the configuration must give, and the one that Sendmail asks.
func (c *Config) sockets() []namedSocket {
	all := []namedSocket{
		{"access.listen", &c.Access.Listen},
		{"incoming.listen", &c.Incoming.Listen},
		{"delivery.listen", &c.Delivery.Listen},
		{"delivery.mailbox", &c.Delivery.Mailbox},
	}
	if c.Antivirus == AntivirusClamd {
		all = append(all, namedSocket{"clamd.socket", &c.Clamd.Socket})
	}
	if c.MTA.Lifetime.Network != "" || c.MTA.Lifetime.fault != nil {
		all = append(all, namedSocket{"mta.lifetime", &c.MTA.Lifetime})
	}
	return all
}
