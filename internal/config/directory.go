package config

import (
	"net/url"
	"reflect"
	"slices"
	"strings"
	"time"
)

// Directory is what the signatures of other providers are judged by. All of it is
// read again when it changes. Replace a file by renaming a finished one into its
// place.
type Directory struct {
	// LDIF: path, required. The PEC providers directory (RFC 6109 section 4.5) as plain
	// LDIF, of at most 64 MiB. With **[directory_sync]** the daemon writes it: it must
	// be able to make files beside it.
	LDIF string `toml:"ldif"`
	// MaxAge: duration. How old that file may be, by its time of modification; above it
	// certified mail gets 451 until a newer one comes. Without it the age does not
	// matter, but for an error in the log above 48 hours.
	MaxAge Duration `toml:"max_age"`
	// Roots: path of a directory, required. PEM files with the names `*.pem` or `*.crt`:
	// the certificates of the trusted authorities, historic ones too. Self-signed
	// certificates are roots, the others intermediates.
	Roots string `toml:"roots"`
	// Revocations: list of paths. Revocation lists of those authorities that somebody
	// else puts there, in PEM or DER, at most 20 MiB each. Required without
	// **revocation_cache**; otherwise they count beside what is fetched.
	Revocations []string `toml:"revocations"`
	// RevocationCache: path of a directory, which is there and belongs to the daemon.
	// With it the revocation lists are fetched, from the places that the certificates of
	// the directory and of the authorities name, by HTTP, HTTPS, LDAP or LDAPS, in the
	// background; and kept there. Without it none is fetched. While the list that a
	// signature needs is missing or expired, the mail gets 451.
	RevocationCache string `toml:"revocation_cache"`
	// RevocationInterval: duration. How often lists are fetched again, at least; those
	// that hold only a short time are sooner.
	RevocationInterval Duration `toml:"revocation_interval"`
	// RevocationGrace: duration, at most 72 hours. How long an expired list still
	// counts, with an alarm, if no newer one can be had. Who was revoked in that time is
	// believed.
	RevocationGrace Span `toml:"revocation_grace"`
}

// DirectorySync is where **ldif** is fetched from. Without **from** nothing is
// fetched, and any other key is an error. What is fetched is refused, and the copy
// that is here goes on serving, if it is not signed by one of **signers**, was
// signed before the copy was, holds no provider, is cut short, has less than a tenth
// of the records, gives a domain to two providers, or gives one of our own
// **domains** to a record that neither has our **name** nor that of the record that
// had the domain before. An error in the log says so each time.
type DirectorySync struct {
	// From: text, one of:
	//
	//   - `https://…`: a file signed in CMS, its content inside (`.p7m`), in DER, PEM,
	//     base64 or S/MIME. No redirection is followed;
	//   - a path of such a file;
	//   - `ldaps://host`, `ldap://host` (with StartTLS, unless the host is a loopback
	//     address and **tls_ca** is not given), or
	//     `ldapi://%2Fpath%2Fof%2Fthe%2Fsocket`: an LDAP server that has the records
	//     below `o=postacert`. They have no signature.
	From string `toml:"from"`
	// Signers: path of a PEM file, required but for LDAP, where it is an error. The
	// certificates of those who sign the file. The certificate of an authority stands
	// for all that it certifies: name one only if it certifies nobody else. Signatures
	// with SHA-1 are refused.
	Signers string `toml:"signers"`
	// Interval: duration. How often it is fetched; each node adds up to a tenth of its
	// own. After a fetch that failed it is tried again in a tenth of that.
	Interval Duration `toml:"interval"`
	DirectoryServer
}

// Used tells whether the directory is fetched.
func (d *DirectorySync) Used() bool { return d.From != "" }

// DirectoryMirror is an LDAP server into which each directory that was fetched is
// written, by the differences. `contrib/openldap` sets one up. Without **url** there
// is none, and any other key is an error. What is wrong with it is an error in the
// log, and hinders nothing else.
type DirectoryMirror struct {
	// URL: text: `ldaps://host`, `ldap://host` or `ldapi://…`, as in **[directory_sync]**.
	URL string `toml:"url"`
	DirectoryServer
}

// Used tells whether there is a mirror.
func (d *DirectoryMirror) Used() bool { return d.URL != "" }

// DirectoryServer is how to connect to a server that has the directory.
type DirectoryServer struct {
	// User: text, a DN: the user of the LDAP server; for **[directory_mirror]** one that
	// may write. With **password_file**; without both the bind is anonymous, and over
	// `ldapi` that of the daemon's user.
	User string `toml:"user"`
	// PasswordFile: private file with the password alone.
	PasswordFile string `toml:"password_file"`
	// TLSCA: path of a PEM file: the authorities of the server's certificate. Without it
	// those of the system.
	TLSCA string `toml:"tls_ca"`
	// TLSCertificate: path of a PEM file: our certificate for a server that asks for
	// one. With **tls_key**. Both are read anew for each connection.
	TLSCertificate string `toml:"tls_certificate"`
	// TLSKey: private file in PEM: its key.
	TLSKey string `toml:"tls_key"`
}

// ReadPassword reads the password; empty where there is none.
func (d *DirectoryServer) ReadPassword() (Secret, error) {
	if d.PasswordFile == "" {
		return Secret{}, nil
	}
	return readLine(d.PasswordFile)
}

func (d *DirectoryServer) references(table string) []reference {
	return []reference{
		{table + ".password_file", &d.PasswordFile, func(string) error { _, err := d.ReadPassword(); return err }},
		{table + ".tls_ca", &d.TLSCA, checkFile},
		{table + ".tls_certificate", &d.TLSCertificate, checkFile},
		{table + ".tls_key", &d.TLSKey, checkPrivate},
	}
}

// directoryReferences are the paths about the providers directory.
func (c *Config) directoryReferences() []reference {
	ldif := checkFile
	if c.DirectorySync.Used() {
		ldif = checkParent // the daemon makes it
	}
	all := []reference{
		{"directory.ldif", &c.Directory.LDIF, ldif},
		{"directory.roots", &c.Directory.Roots, checkDirectory},
		{"directory.revocation_cache", &c.Directory.RevocationCache, checkOwnDirectory},
		{"directory_sync.signers", &c.DirectorySync.Signers, checkFile},
	}
	if !strings.Contains(c.DirectorySync.From, "://") {
		all = append(all, reference{"directory_sync.from", &c.DirectorySync.From, checkFile})
	}
	all = append(all, c.DirectorySync.references("directory_sync")...)
	return append(all, c.DirectoryMirror.references("directory_mirror")...)
}

func (c *Config) validateDirectory(f *faults) {
	f.required("directory.ldif", c.Directory.LDIF)
	f.required("directory.roots", c.Directory.Roots)
	if c.Directory.MaxAge.fault != nil {
		f.add("directory.max_age", "%v", c.Directory.MaxAge.fault)
	}
	c.Directory.validateRevocations(f)
	c.DirectorySync.validate(f)
	c.DirectoryMirror.validate(f, c.DirectorySync.Used())
	if c.DirectorySync.Used() && c.DirectorySync.From == c.Directory.LDIF {
		f.add("directory_sync.from", "it is directory.ldif, which is written over: name another file")
	}
}

// maxGrace is how long an expired revocation list may count: over a weekend.
const maxGrace = 72 * time.Hour

func (d *Directory) validateRevocations(f *faults) {
	switch {
	case slices.Contains(d.Revocations, ""):
		f.add("directory.revocations", "a name is empty: write the path of a revocation list")
	case len(d.Revocations) == 0 && d.RevocationCache == "":
		f.add("directory.revocation_cache", "is missing: name the directory for the revocation lists that are fetched, or in directory.revocations "+
			"at least one that you put there: without any no peer's signature can be judged")
	}
	if d.RevocationInterval.fault != nil {
		f.add("directory.revocation_interval", "%v", d.RevocationInterval.fault)
	}
	if d.RevocationGrace.fault != nil {
		f.add("directory.revocation_grace", "%v", d.RevocationGrace.fault)
	} else if d.RevocationGrace.Duration > maxGrace {
		f.add("directory.revocation_grace", "%v is too long: who was revoked would be believed all that time; write at most %v",
			d.RevocationGrace, maxGrace)
	}
}

func (d *DirectorySync) validate(f *faults) {
	const table = "directory_sync"
	if !d.Used() {
		if !reflect.DeepEqual(*d, defaults().DirectorySync) {
			f.add(table+".from", "is missing, and the rest of the table is for it: name where the directory is, or remove the table")
		}
		return
	}
	if d.Interval.fault != nil {
		f.add(table+".interval", "%v", d.Interval.fault)
	}
	scheme, _, isURL := strings.Cut(d.From, "://")
	switch {
	case isURL && isLDAP(scheme):
		f.ldapURL(table+".from", d.From)
		if d.Signers != "" {
			f.add(table+".signers", "LDAP has no signatures: remove it, and use only a server of your own")
		}
	case isURL && scheme != "https":
		f.add(table+".from", "%q cannot be fetched: write an https, ldaps, ldap or ldapi URL, or the path of a signed file", d.From)
	default:
		f.required(table+".signers", d.Signers)
		if d.User != "" || d.PasswordFile != "" {
			f.add(table+".user", "user and password_file are for LDAP: remove them")
		}
	}
	d.DirectoryServer.validate(f, table)
}

func (d *DirectoryMirror) validate(f *faults, fetched bool) {
	const table = "directory_mirror"
	if !d.Used() {
		if *d != (DirectoryMirror{}) {
			f.add(table+".url", "is missing, and the rest of the table is for it: name the server, or remove the table")
		}
		return
	}
	if !fetched {
		f.add(table, "only what is fetched is written into it: write the table [directory_sync] too")
	}
	f.ldapURL(table+".url", d.URL)
	d.DirectoryServer.validate(f, table)
}

func (d *DirectoryServer) validate(f *faults, table string) {
	if (d.User == "") != (d.PasswordFile == "") {
		f.add(table+".user", "user and password_file go together: write both or none")
	}
	if (d.TLSCertificate == "") != (d.TLSKey == "") {
		f.add(table+".tls_certificate", "tls_certificate and tls_key go together: write both or none")
	}
}

func isLDAP(scheme string) bool { return slices.Contains([]string{"ldaps", "ldap", "ldapi"}, scheme) }

// ldapURL wants a server alone: where the records are in it is not for us to
// choose (RFC 6109 section 4.5).
func (f *faults) ldapURL(key, text string) {
	scheme, rest, _ := strings.Cut(text, "://")
	good := isLDAP(scheme) && rest != ""
	if scheme != "ldapi" {
		u, err := url.Parse(text)
		good = good && err == nil && u.Hostname() != "" && strings.Trim(u.Path, "/") == "" && u.User == nil && u.RawQuery == ""
	}
	if !good {
		f.add(key, "%q is no LDAP server: write ldaps://HOST, ldap://HOST or ldapi://%%2Fpath%%2Fof%%2Fthe%%2Fsocket; the records are below o=postacert", text)
	}
}
