package config

import (
	"net/url"
	"reflect"
	"slices"
	"strings"
	"time"
)

// DirectorySync is where the providers directory is fetched from. Without From
// nothing is fetched, and then it is an error to give anything else.
type DirectorySync struct {
	// From is an https URL or a path, of a signed file (.p7m); or an ldaps, ldap or
	// ldapi URL without a path: text.
	From string `toml:"from"`
	// Signers has the certificates of those who sign the file, or of an authority that
	// certifies nobody else, in PEM: path, required but for LDAP.
	Signers string `toml:"signers"`
	// Interval is how often it is fetched: duration, default "1h".
	Interval Duration `toml:"interval"`
	DirectoryServer
}

// Used tells whether the directory is fetched.
func (d *DirectorySync) Used() bool { return d.From != "" }

// DirectoryMirror is an LDAP server that the fetched directory is written into.
// Without URL there is none, and then it is an error to give anything else.
type DirectoryMirror struct {
	URL string `toml:"url"` // ldaps, ldap or ldapi, without a path: text
	DirectoryServer
}

// Used tells whether there is a mirror.
func (d *DirectoryMirror) Used() bool { return d.URL != "" }

// DirectoryServer is how to connect to a server that has the directory.
type DirectoryServer struct {
	// User is a DN, for LDAP: text, with PasswordFile; both or none.
	User string `toml:"user"`
	// PasswordFile holds the user's password, alone, and is not accessible to others:
	// path.
	PasswordFile string `toml:"password_file"`
	// TLSCA has the authorities of the server's certificate, in PEM: path; without it
	// those of the system.
	TLSCA string `toml:"tls_ca"`
	// TLSCertificate and TLSKey are our own, in PEM; the key is not accessible to
	// others: paths, both or none.
	TLSCertificate string `toml:"tls_certificate"`
	TLSKey         string `toml:"tls_key"`
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
