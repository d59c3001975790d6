// Package config reads the configuration of pec-milter: one TOML file, in which
// an unknown key is an error and secrets are given by file path only.
//
// The comments of the types here are the text of pec-milter.toml(5), which go
// generate writes: of a table the comment of its type, of a key that of its field,
// in Markdown, with the names that the file has. Its type comes first; its default
// is taken from the code. contrib/pec-milter.toml is the same reference as an
// example. Every relative path in the file, sockets included, counts from the
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
	// Antivirus: `"clamd"` or `"none"`, required. What scans for viruses. With
	// `"clamd"`, **[clamd]** and **[quarantine]** are required. With `"none"` they are
	// an error, and mail is certified without a scan, against the rules for certified
	// mail (RFC 6109 sections 3.1.3 and 3.2.3): for trials only.
	Antivirus       string          `toml:"antivirus"`
	Provider        Provider        `toml:"provider"`
	Access          Access          `toml:"access"`
	Incoming        Incoming        `toml:"incoming"`
	Delivery        Delivery        `toml:"delivery"`
	Inject          Inject          `toml:"inject"`
	MTA             MTA             `toml:"mta"`
	Clamd           Clamd           `toml:"clamd"`
	Quarantine      Quarantine      `toml:"quarantine"`
	Signer          Signer          `toml:"signer"`
	Directory       Directory       `toml:"directory"`
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

// Provider is who the provider is, as the PEC providers directory has it (RFC 6109
// section 4.5).
type Provider struct {
	// Name: text of one line, required. The providerName of the directory: what notices
	// name as gestore.
	Name string `toml:"name"`
	// Domain: domain, required; it is taken in lower case. The right side of the
	// identifiers of PEC messages.
	Domain string `toml:"domain"`
	// Domains: list of domains, at least one; they are taken in lower case. The certified
	// domains: mail from and to them is certified, other mail of the MTA passes
	// untouched.
	Domains []string `toml:"domains"`
	// Address: address in **domain** or one of **domains**, required. The service
	// address: From of envelopes and notices, and the address in the signing
	// certificate. No user may send as it.
	Address string `toml:"address"`
	// MailReceipt: address in **domain** or one of **domains**, required. The service
	// mailbox, to which other providers send their notices of presa in carico. The
	// mailReceipt of the directory.
	MailReceipt string `toml:"mail_receipt"`
	// SecretFile: private file, required. At least 32 bytes that nobody else knows, the
	// same on all nodes. Identifiers and outbox addresses are made with it: with another
	// one the notices owed for what is in the queue are lost. Never change it, and keep
	// a copy with the backups.
	SecretFile string `toml:"secret_file"`
}

// Access is the access point: the milter for what users submit.
type Access struct {
	// Listen: socket, required. The milter for what users submit.
	Listen Socket `toml:"listen"`
	// MaxTotal: whole number of bytes, 0 or at least 30000000, for the law asks for 30
	// MB. The largest product of a message's size and the number of its recipients; for
	// a larger one the sender gets a signed notice of refusal. 0: no limit but
	// **max_size**.
	MaxTotal int64 `toml:"max_total"`
	// MaxRecipients: whole number, at least 50, for the law asks for 50. The largest
	// number of recipients; for more the sender gets a signed notice of refusal. To and
	// Cc may have 32 KiB each, which is room for some 2000 addresses in all.
	MaxRecipients int `toml:"max_recipients"`
	// StrictRecipients: `true` or `false`. Every recipient must always be in To or Cc.
	// With `true` the converse holds too: an address in To or Cc that is no recipient of
	// the transaction gets the message refused, with a signed notice. Some mail clients
	// submit one message in several transactions, which this refuses.
	StrictRecipients bool `toml:"strict_recipients"`
}

// Incoming is the incoming point: the milter for what the world sends.
type Incoming struct {
	// Listen: socket, required. The milter for what the world sends.
	Listen Socket `toml:"listen"`
	// SHA1Until: day as `"2006-01-02"`, at 0:00 UTC. From then on a signature of another
	// provider with SHA-1 is not accepted: the message is ordinary mail. Until then it
	// is accepted, with `weak=true` in the log. Empty: accepted at any time. MD5 never
	// is.
	SHA1Until Day `toml:"sha1_until"`
	// RequireTLS: `true` or `false`. `true`: certified mail of another provider that comes without
	// TLS gets 451 until it comes by TLS. `false`: it is taken, as RFC 6109 section 5.3
	// wants it, and told to the log.
	RequireTLS bool `toml:"require_tls"`
}

// Delivery is the delivery point: an LMTP server before the mailbox store.
type Delivery struct {
	// Listen: socket, required. The LMTP server to which the MTA delivers the certified
	// domains and `outbox.pec-milter.invalid`.
	Listen Socket `toml:"listen"`
	// Mailbox: socket, required. The LMTP server of the mailbox store.
	Mailbox Socket `toml:"mailbox"`
	// BriefDecoded: `true` or `false`. What a brief delivery receipt hashes of an
	// attachment. `false`: its body as it was transferred, base64 and all, as RFC 6109
	// section 3.3.2.2 has it. `true`: the decoded content, which the sender can compare
	// with his file.
	BriefDecoded bool `toml:"brief_decoded"`
}

// Inject is the SMTP service of the MTA that has no milter: notices leave through
// it.
type Inject struct {
	// Address: host and port, required: `"127.0.0.1:10027"`. The SMTP service of the MTA
	// that has no milter. The host must be a loopback address: whoever reaches that port
	// can send mail that no door has judged.
	Address string `toml:"address"`
	// Hello: text. The name said at EHLO, and at LHLO to the mailbox store.
	Hello string `toml:"hello"`
}

// MTA is what must be known of the MTA, and what the doors may use.
type MTA struct {
	// ContentTimeout: duration. How long the MTA waits for our answer at the end of a
	// message (Postfix: milter_content_timeout). We answer 451 after 0.8 of it.
	ContentTimeout Duration `toml:"content_timeout"`
	// MaxSize: whole number of bytes. The largest body that the milters take; a larger
	// one gets 552. The delivery door takes twice as much, for a signed message is
	// larger than what was submitted.
	MaxSize int64 `toml:"max_size"`
	// SpoolDirectory: path of a directory. Where bodies over 256 KiB are kept while a door
	// works on them, in files without a name; smaller ones too while those in memory
	// have 16 MiB together. If the environment has TMPDIR, that one is the default.
	SpoolDirectory string `toml:"spool_directory"`
	// MaxSpool: whole number of bytes, 0 or at least 4 times **max_size**. The most that
	// the messages of one door may have together, on that disk and in memory; over it
	// mail gets 451. Each of the three doors has as much. 0: no bound.
	MaxSpool int64 `toml:"max_spool"`
	// MinFree: whole number of bytes. What must stay free on the disk of
	// **spool_directory**; mail that would need it gets 451. It is looked at before each
	// write of a file. 0: all may be used.
	MinFree int64 `toml:"min_free"`
	// MaxConcurrent: whole number. How many messages each door works on at once: the
	// milters at the end of a message, the delivery door when it has taken one. Others
	// wait with their bodies in the spool, at a milter for at most 0.4 of
	// **content_timeout**, at the delivery door for 4 minutes, and then get 451. 0: 4
	// for each processor.
	MaxConcurrent int `toml:"max_concurrent"`
	// MaxConnections: whole number, at least 1. How many connections each door has open
	// at once; one more is closed, and the MTA gives a temporary failure. It should be
	// above the number of processes that the MTA may start for those services.
	MaxConnections int `toml:"max_connections"`
	// Lifetime: socket. Where Sendmail asks, by its socket map, for each recipient and at
	// each try whether it has waited long enough: `contrib/sendmail`. The answer is
	// EXPIRED for a certified message to another provider or an ordinary address, 24 hours
	// after it was accepted (RFC 6109 section 2.2.2), and LIVE for all else: our own
	// mailboxes, the outbox, mail that is not certified. Without an answer, or when it
	// cannot be told, mail stays in the queue. Without it nobody is answered. Postfix needs
	// none, it has a lifetime of its own.
	Lifetime Socket `toml:"lifetime"`
	// SocketGroup: name or number of a group. The unix sockets that we make get mode
	// 0660 and this group: the MTA's. Empty: the daemon's own group stays. Sockets that
	// systemd opens have that of its unit.
	SocketGroup string `toml:"socket_group"`
}

// Concurrent is MaxConcurrent, or what its default stands for.
func (m *MTA) Concurrent() int {
	return cmp.Or(m.MaxConcurrent, 4*runtime.NumCPU())
}

// Clamd is the ClamAV daemon, with **antivirus** = `"clamd"`; with `"none"` it is an
// error to give it. While it does not answer, mail gets 451: nothing passes
// unscanned. What must be set in clamd.conf is in `contrib/clamav/README.md`.
type Clamd struct {
	// Socket: socket, required. Where clamd listens. Over TCP there is no
	// authentication, and the mail travels in clear.
	Socket Socket `toml:"socket"`
	// Timeout: duration, at most 0.8 of **content_timeout**. How long the scan of one
	// message may take; then it gets 451. More than clamd's own MaxScanTime: a message
	// that is too slow for clamd is then over its limits, which is an answer.
	Timeout Duration `toml:"timeout"`
}

// Quarantine is where infected messages are kept for 30 months (RFC 6109 section
// 2.2.4), with **antivirus** = `"clamd"`; with `"none"` it is an error to give it.
type Quarantine struct {
	// Directory: path of a directory, required. It must exist, for the daemon alone:
	// mode 0700. No other daemon may have the same.
	Directory string `toml:"directory"`
}

// Accounts is who may send as which address.
type Accounts struct {
	// File: path, required. Who may send as which address; see ACCOUNTS FILE. Read again
	// when it changes.
	File string `toml:"file"`
}

// State is the SQLite file with legal log and records, unless those are in
// PostgreSQL; beside it is the file that has the state, unless Redis has it.
type State struct {
	// File: path, required. The SQLite file with the legal log and the records. It is
	// made if it is not there; its directory must exist. A second file of the same name
	// with `-state` behind it holds progress and leases, where **[redis]** does not; it
	// may be lost. With **[postgresql]** only that second file is made.
	File string `toml:"file"`
	// Node: text of one line. The name of this daemon, another one for each that has the
	// same Redis: a daemon takes over at once what the one of its name had in hand
	// before. Empty: the name of the host.
	Node string `toml:"node"`
}

// Log is the daemon's log, on standard error or in systemd's journal. It is not the
// legal log.
type Log struct {
	// Format: `"text"` or `"json"`, on standard error; or `"journald"`: entries of
	// systemd's journal, which have the fields QUEUE_ID, EVENT, PEC_ID, RESULT and
	// MILLISECONDS where they apply. With that only what the journal does not take goes
	// to standard error, and without a journal the daemon does not start.
	Format string `toml:"format"`
	// Level: `"debug"`, `"info"`, `"warn"` or `"error"`.
	Level Level `toml:"level"`
	// Addresses: `"plain"` or `"hashed"`. Hashed, whatever may be a mail address is
	// replaced by `address-` and 16 characters: always the same for one address, in any
	// case, on all nodes; without **secret_file** nobody can tell whose it is.
	// Identifiers of messages stay.
	Addresses string `toml:"addresses"`
}

// LogFormats are the values of Log.Format.
func LogFormats() []string { return []string{"text", "json", "journald"} }

// The values of Log.Addresses.
const (
	AddressesPlain  = "plain"
	AddressesHashed = "hashed"
)

// Metrics is where the metrics for Prometheus are served, by HTTP. No address,
// subject or identifier of a message is in them.
type Metrics struct {
	// Listen: socket on which they are served by HTTP, under `/metrics`; `/healthz`
	// tells whether the doors answer. Unix or loopback. Without it they are not served.
	Listen Socket `toml:"listen"`
	// Insecure: `true` or `false`. `true` allows **listen** to be any address: whoever reaches it
	// learns how much mail there is.
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
