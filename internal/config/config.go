// Package config reads the configuration of pec-milter: one TOML file, in which
// an unknown key is an error and secrets are given by file path only.
//
// contrib/pec-milter.toml is the same reference as the comments here, for the
// operator. Every relative path in the file, sockets included, counts from the
// directory of the file.
//
// It opens none of what the file names, but for CheckFiles and ReadSecret.
package config

import (
	"cmp"
	"os"
	"runtime"
	"time"
)

// Config is the whole file. Load has checked it and filled in the defaults.
type Config struct {
	// Antivirus is what scans for viruses: "clamd" or "none", required. With
	// "none" mail is certified unscanned, against RFC 6109 sections 3.1.3 and
	// 3.2.3: it must be written out.
	Antivirus  string     `toml:"antivirus"`
	Provider   Provider   `toml:"provider"`
	Access     Access     `toml:"access"`
	Incoming   Incoming   `toml:"incoming"`
	Delivery   Delivery   `toml:"delivery"`
	Inject     Inject     `toml:"inject"`
	MTA        MTA        `toml:"mta"`
	Clamd      Clamd      `toml:"clamd"`
	Quarantine Quarantine `toml:"quarantine"`
	Signer     Signer     `toml:"signer"`
	Directory  Directory  `toml:"directory"`
	// DirectorySync and DirectoryMirror are about the providers directory too.
	DirectorySync   DirectorySync   `toml:"directory_sync"`
	DirectoryMirror DirectoryMirror `toml:"directory_mirror"`
	Accounts        Accounts        `toml:"accounts"`
	State           State           `toml:"state"`
	Redis           Redis           `toml:"redis"`
	PostgreSQL      PostgreSQL      `toml:"postgresql"`
	LegalLog        LegalLog        `toml:"legal_log"`
	Log             Log             `toml:"log"`
	Metrics         Metrics         `toml:"metrics"`
}

// The values of Config.Antivirus.
const (
	AntivirusClamd = "clamd"
	AntivirusNone  = "none"
)

// Provider is who the provider is, as the PEC providers directory has it (RFC
// 6109 section 4.5).
type Provider struct {
	// Name is the gestore-emittente: text, one line, required.
	Name string `toml:"name"`
	// Domain is the right side of the identifiers of PEC messages: a domain,
	// required; in lower case after Load.
	Domain string `toml:"domain"`
	// Domains are the certified domains: a list of domains, at least one; in
	// lower case after Load. Mail of other domains passes untouched.
	Domains []string `toml:"domains"`
	// Address is the service address, the From of envelopes and notices: an
	// address of Domain or of one of Domains, required.
	Address string `toml:"address"`
	// MailReceipt is the service mailbox, to which peers send server-server
	// acceptances: an address as above, required.
	MailReceipt string `toml:"mail_receipt"`
	// SecretFile holds at least 32 bytes that nobody else knows, from which
	// identifiers are made; the same on all nodes, and never to be changed. A
	// path, required.
	SecretFile string `toml:"secret_file"`
}

// Access is the access point: the milter for what users submit.
type Access struct {
	Listen Socket `toml:"listen"` // socket, required
	// MaxTotal is the largest product of a message's size in bytes and the number
	// of its recipients: integer, 0 (the default) or at least 30,000,000 (DM
	// 2-11-2005 art. 12). 0: no limit but mta.max_size.
	MaxTotal int64 `toml:"max_total"`
	// MaxRecipients is the largest number of recipients: integer, default 500,
	// at least 50 (art. 12 again).
	MaxRecipients int `toml:"max_recipients"`
	// StrictRecipients refuses a message whose To or Cc names an address that is
	// no recipient of the transaction: true or false, default false, for mail
	// clients split submissions.
	StrictRecipients bool `toml:"strict_recipients"`
}

// Incoming is the incoming point: the milter for what the world sends.
type Incoming struct {
	Listen Socket `toml:"listen"` // socket, required
	// SHA1Until is the day, at 0:00 UTC, from which a peer's signature with SHA-1
	// is not accepted: text "2006-01-02", default "", which is never. Until then it
	// is, and the log has it as weak. (MD5 never is.)
	SHA1Until Day `toml:"sha1_until"`
	// RequireTLS has certified mail of other providers that comes without TLS wait
	// (451) until it comes by TLS; else it is taken, and told to the log: true or
	// false, default false.
	RequireTLS bool `toml:"require_tls"`
}

// Delivery is the delivery point: an LMTP server before the mailbox store.
type Delivery struct {
	Listen  Socket `toml:"listen"`  // socket, required
	Mailbox Socket `toml:"mailbox"` // socket of the store's own LMTP server, required
	// BriefDecoded is what a brief delivery notice hashes of an attachment: true,
	// its decoded content; false, the default, its body as it was transferred (the
	// SHOULD of RFC 6109 section 3.3.2.2).
	BriefDecoded bool `toml:"brief_decoded"`
}

// Inject is the SMTP service of the MTA that has no milter: notices leave
// through it.
type Inject struct {
	// Address is host:port, required. The host must be a loopback address, for
	// whoever reaches that port can forge notices.
	Address string `toml:"address"`
	// Hello is the name to say at EHLO: text, default "localhost".
	Hello string `toml:"hello"`
}

// MTA is what must be known of the MTA.
type MTA struct {
	// ContentTimeout is how long the MTA waits for an answer at the end of a
	// message (Postfix: milter_content_timeout): duration, default "300s".
	ContentTimeout Duration `toml:"content_timeout"`
	// MaxSize is the hard bound of a message, in bytes: integer, default
	// 134217728 (128 MiB).
	MaxSize int64 `toml:"max_size"`
	// SpoolDirectory is where large messages are kept while a door works on
	// them, in unlinked files: path, default the system's temporary directory.
	SpoolDirectory string `toml:"spool_directory"`
	// MaxSpool is the most bytes that the messages of one door may have there,
	// and in memory, together; over it mail gets 451: integer, default 4294967296
	// (4 GiB), at least 4 times MaxSize. 0: no bound.
	MaxSpool int64 `toml:"max_spool"`
	// MinFree is what stays free on the disk of SpoolDirectory, in bytes; mail
	// that would need it gets 451: integer, default 268435456 (256 MiB). 0: all
	// may be used.
	MinFree int64 `toml:"min_free"`
	// MaxConcurrent is how many messages each door works on at once; others wait,
	// and get 451 if it takes too long: integer, default 0, which stands for 4 for
	// each processor.
	MaxConcurrent int `toml:"max_concurrent"`
	// MaxConnections is how many connections each door has open at once; more are
	// closed: integer, default 1000.
	MaxConnections int `toml:"max_connections"`
	// SocketGroup is the group that may connect to the unix sockets: text,
	// default empty, which leaves the daemon's own.
	SocketGroup string `toml:"socket_group"`
}

// Concurrent is MaxConcurrent, or what its default stands for.
func (m *MTA) Concurrent() int {
	return cmp.Or(m.MaxConcurrent, 4*runtime.NumCPU())
}

// Clamd is the ClamAV daemon. With antivirus = "none" it is an error to give it.
type Clamd struct {
	// Socket is where clamd listens: socket, required with antivirus = "clamd".
	Socket Socket `toml:"socket"`
	// Timeout is how long the scan of one message may take: duration, default
	// "120s". At most 0.8 of mta.content_timeout.
	Timeout Duration `toml:"timeout"`
}

// Quarantine is where infected messages are kept (RFC 6109 section 2.2.4). With
// antivirus = "none" it is an error to give it.
type Quarantine struct {
	// Directory is for the daemon alone, not open to other users: path, required
	// with antivirus = "clamd".
	Directory string `toml:"directory"`
}

// Signer is the key that signs: KeyFile, or a key on a PKCS#11 token.
type Signer struct {
	// CertificateFile is PEM: the signing certificate, then its intermediates.
	// Path, required.
	CertificateFile string `toml:"certificate_file"`
	// KeyFile is PEM, not encrypted and not accessible to others: path.
	KeyFile string `toml:"key_file"`
	SignerToken
	// Timeout is how long one signature may take: duration, default "20s". At
	// most 0.8 of mta.content_timeout. Token and Spares have equal shares of it.
	Timeout Duration `toml:"timeout"`
	// Spares have the same keys as the token: the first that works signs. A table for
	// each.
	Spares []SignerToken `toml:"spare"`
}

// SignerToken is a PKCS#11 token with the key. Exactly one of Token, TokenSerial
// and TokenSlot is given, and KeyLabel, KeyID or both.
type SignerToken struct {
	// Module is the PKCS#11 library of the token's vendor: path.
	Module string `toml:"module"`
	// Token is the token's label: text.
	Token string `toml:"token"`
	// TokenSerial is the token's serial number: text.
	TokenSerial string `toml:"token_serial"`
	// TokenSlot is the number of the token's slot: integer.
	TokenSlot *int `toml:"token_slot"`
	// KeyLabel is the label of the key on the token: text.
	KeyLabel string `toml:"key_label"`
	// KeyID is the CKA_ID of the key on the token: hexadecimal digits.
	KeyID Hex `toml:"key_id"`
	// PINFile holds the user PIN, alone, and is not accessible to others: path.
	// Without it there is no login to the token.
	PINFile string `toml:"pin_file"`
	// Sessions is how many signatures the token makes at once, at most: integer;
	// 0, the default, is 16. A token that allows fewer sessions gets fewer.
	Sessions int `toml:"sessions"`
}

// Directory is what signatures of peers are judged by.
type Directory struct {
	// LDIF is the PEC providers directory: path, required. With DirectorySync it is
	// written by the daemon.
	LDIF string `toml:"ldif"`
	// MaxAge is how old it may be before certified mail gets 451: duration, without it
	// any age.
	MaxAge Duration `toml:"max_age"`
	// Roots is a directory of PEM files with the trusted authorities'
	// certificates, historic ones included: path, required.
	Roots string `toml:"roots"`
	// Revocations are revocation lists, PEM or DER, that somebody else puts there:
	// a list of paths. While the list that mail needs is missing or expired, it
	// gets 451. Required without RevocationCache.
	Revocations []string `toml:"revocations"`
	// RevocationCache is where revocation lists are kept that are fetched from the
	// places that the certificates name: path of a directory; without it none is
	// fetched.
	RevocationCache string `toml:"revocation_cache"`
	// RevocationInterval is how often they are fetched again, at least: duration,
	// default "1h".
	RevocationInterval Duration `toml:"revocation_interval"`
	// RevocationGrace is how long an expired list still counts: duration, default
	// "0s", at most 72 hours.
	RevocationGrace Span `toml:"revocation_grace"`
}

// Accounts is who may send as which address.
type Accounts struct {
	File string `toml:"file"` // path, required
}

// State is the SQLite file with legal log and records, unless those are in
// PostgreSQL; beside it is the file that has the state, unless Redis has it.
type State struct {
	File string `toml:"file"` // path, required; made if it is not there
	// Node is what this daemon is called among those of the provider, each by
	// another name: text of one line, default empty, which is the host's name.
	Node string `toml:"node"`
}

// Redis keeps the state of messages under way for several nodes. Without
// Addresses it is not used, and then it is an error to give anything else.
type Redis struct {
	// Addresses are sockets. With Master they are those of Sentinels; without it, one
	// is a server and several, all TCP, are of a Cluster.
	Addresses []Socket `toml:"addresses"`
	// Master is the name that the Sentinels know the master by: text.
	Master string `toml:"master"`
	// User is the user of Redis: text, with PasswordFile; without it Redis's default one.
	User string `toml:"user"`
	// PasswordFile holds the user's password, alone, and is not accessible to
	// others: path.
	PasswordFile string `toml:"password_file"`
	// TLSCA has the authorities of the servers' certificates, in PEM, and turns TLS
	// on: path.
	TLSCA string `toml:"tls_ca"`
	// TLSCertificate and TLSKey are for servers that ask for a certificate, in PEM;
	// the key is not accessible to others: paths, both or none.
	TLSCertificate string `toml:"tls_certificate"`
	TLSKey         string `toml:"tls_key"`
	// Database is its number: integer, default 0; a Cluster has no other.
	Database int `toml:"database"`
	// Prefix begins all keys: at most 32 letters, digits and "-_.:", default "pec:".
	Prefix string `toml:"prefix"`
	// Insecure allows Redis elsewhere without TLS and password: boolean, default
	// false.
	Insecure bool `toml:"insecure"`
}

// Used tells whether the state is on Redis.
func (r *Redis) Used() bool { return len(r.Addresses) > 0 }

// PostgreSQL is the database of the legal log and the records, in place of the
// SQLite file, for more than one node. Without any of its keys the file is used.
type PostgreSQL struct {
	// Hosts are the servers: a list of host names, addresses, or directories of
	// a unix socket (paths). The first that takes writes is used.
	Hosts []string `toml:"hosts"`
	// Port is that of each server: integer, default 5432.
	Port int `toml:"port"`
	// Database is its name: text, required with Hosts.
	Database string `toml:"database"`
	// User is the role: text, required with Hosts.
	User string `toml:"user"`
	// PasswordFile holds the role's password, alone, and is not accessible to
	// others: path. Without it the server must know us in another way.
	PasswordFile string `toml:"password_file"`
	// CAFile is PEM: the authorities that the servers' certificates are verified
	// with. Path; without it those of the system.
	CAFile string `toml:"ca_file"`
	// Insecure lets the connection to another machine be without TLS: boolean.
	Insecure bool `toml:"insecure"`
}

// LegalLog is how the legal log is sealed.
type LegalLog struct {
	// Directory is for the sealed files: path, made if it is not there; by default
	// "legal-log" beside State.File.
	Directory string `toml:"directory"`
	// Anchors is the file to which the head of the log is written every minute: path,
	// by default State.File with "-anchors" behind its name.
	Anchors string `toml:"anchors"`
	// MaxRows is the most rows of one sealed file; so many are sealed before the day
	// is over: integer, default 1000000.
	MaxRows int64 `toml:"max_rows"`
	// Late is after which time it is an error that rows are not sealed, or a seal not
	// time-stamped: duration, default "26h".
	Late Duration `toml:"late"`
	// TSA is the time-stamping authority: URL. Without it seals have no time stamp.
	TSA string `toml:"tsa"`
	// TSACA has the authorities of its certificate, in PEM: path, required with TSA.
	TSACA string `toml:"tsa_ca"`
	// TSAPolicy is the policy of the time stamps: an object identifier; by default
	// any.
	TSAPolicy OID `toml:"tsa_policy"`
}

// Log is the daemon's log on standard error or in systemd's journal, not the legal
// log.
type Log struct {
	Format string `toml:"format"` // one of LogFormats, default "text"
	Level  Level  `toml:"level"`  // "debug", "info", "warn" or "error", default "info"
	// Addresses is "plain", the default, or "hashed": then no address is written out,
	// but a name that is made of it and the provider's secret.
	Addresses string `toml:"addresses"`
}

// LogFormats are the values of Log.Format.
func LogFormats() []string { return []string{"text", "json", "journald"} }

// The values of Log.Addresses.
const (
	AddressesPlain  = "plain"
	AddressesHashed = "hashed"
)

// Metrics is where the metrics are served, for Prometheus, by HTTP.
type Metrics struct {
	// Listen is a unix socket, or one of the loopback: socket, without it nothing is
	// served.
	Listen Socket `toml:"listen"`
	// Insecure allows any other address: boolean, default false. Whoever reaches it
	// learns how much mail there is, and none of whom.
	Insecure bool `toml:"insecure"`
}

// defaults is the configuration of an empty file.
func defaults() *Config {
	return &Config{
		Access: Access{MaxRecipients: 500},
		Inject: Inject{Hello: "localhost"},
		MTA: MTA{
			ContentTimeout: Duration{Duration: 300 * time.Second},
			MaxSize:        128 << 20,
			SpoolDirectory: os.TempDir(),
			MaxSpool:       4 << 30,
			MinFree:        256 << 20,
			MaxConnections: 1000,
		},
		Clamd:  Clamd{Timeout: Duration{Duration: 120 * time.Second}},
		Signer: Signer{Timeout: Duration{Duration: 20 * time.Second}},
		Redis:  Redis{Prefix: "pec:"},

		Directory:     Directory{RevocationInterval: Duration{Duration: time.Hour}},
		DirectorySync: DirectorySync{Interval: Duration{Duration: time.Hour}},

		PostgreSQL: PostgreSQL{Port: 5432},
		LegalLog:   LegalLog{MaxRows: 1_000_000, Late: Duration{Duration: 26 * time.Hour}},
		Log:        Log{Format: "text", Addresses: AddressesPlain},
	}
}
