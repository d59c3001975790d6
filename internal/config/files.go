package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// reference is a path in the configuration.
type reference struct {
	key   string
	path  *string
	check func(string) error // what CheckFiles asks of it
}

// references are all paths in the configuration, those not given included.
func (c *Config) references() []reference {
	all := []reference{
		{"provider.secret_file", &c.Provider.SecretFile, func(string) error { _, err := c.Provider.ReadSecret(); return err }},
		{"mta.spool_directory", &c.MTA.SpoolDirectory, checkDirectory},
		{"quarantine.directory", &c.Quarantine.Directory, checkPrivateDirectory},
		{"signer.certificate_file", &c.Signer.CertificateFile, checkFile},
		{"signer.key_file", &c.Signer.KeyFile, checkPrivate},
	}
	all = append(all, c.Signer.SignerToken.references("signer")...)
	for i := range c.Signer.Spares {
		all = append(all, c.Signer.Spares[i].references("signer.spare")...)
	}
	all = append(all, c.directoryReferences()...)
	all = append(all, []reference{
		{"accounts.file", &c.Accounts.File, checkFile},
		{"state.file", &c.State.File, checkParent},
		{"legal_log.directory", &c.LegalLog.Directory, checkParent},
		{"legal_log.anchors", &c.LegalLog.Anchors, checkParent},
		{"legal_log.tsa_ca", &c.LegalLog.TSACA, checkFile},
		{"redis.password_file", &c.Redis.PasswordFile, checkPrivate},
		{"redis.tls_ca", &c.Redis.TLSCA, checkFile},
		{"redis.tls_certificate", &c.Redis.TLSCertificate, checkFile},
		{"redis.tls_key", &c.Redis.TLSKey, checkPrivate},
		{"postgresql.password_file", &c.PostgreSQL.PasswordFile, func(string) error { _, err := c.PostgreSQL.ReadPassword(); return err }},
		{"postgresql.ca_file", &c.PostgreSQL.CAFile, checkFile},
	}...)
	for i := range c.Directory.Revocations {
		all = append(all, reference{"directory.revocations", &c.Directory.Revocations[i], checkFile})
	}
	for _, s := range slices.Concat(c.sockets(), c.Redis.sockets(), c.Metrics.sockets()) {
		if s.socket.Network == "unix" {
			all = append(all, reference{s.key, &s.socket.Address, checkParent})
		}
	}
	return all
}

func (t *SignerToken) references(table string) []reference {
	return []reference{{table + ".module", &t.Module, checkFile}, {table + ".pin_file", &t.PINFile, checkPrivate}}
}

// CheckFiles tells whether the files and directories that the configuration
// names are there and can be read by this user: all faults at once, each with
// its key. Of their content it looks at the length of the secret alone; private
// ones must not be open to other users.
func (c *Config) CheckFiles() error {
	var found []error
	for _, r := range c.references() {
		if *r.path == "" {
			continue
		}
		if err := r.check(*r.path); err != nil {
			found = append(found, fmt.Errorf("%s: %w", r.key, err))
		}
	}
	return errors.Join(found...)
}

func checkFile(path string) error {
	_, err := readableFile(path)
	return err
}

func checkPrivate(path string) error {
	info, err := readableFile(path)
	if err != nil {
		return err
	}
	if mode := info.Mode().Perm(); mode&0o007 != 0 {
		return fmt.Errorf("%s is open to every user of this machine (mode %04o): chmod %04o %s", path, mode, mode&^0o007, path)
	}
	return nil
}

// checkPrivateDirectory is for what nobody but the daemon reads.
func checkPrivateDirectory(path string) error {
	if err := checkDirectory(path); err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return fmt.Errorf("%s is open to other users (mode %04o): chmod 0700 %s", path, mode, path)
	}
	return nil
}

// checkOwnDirectory is for what the daemon writes, and anybody may read.
func checkOwnDirectory(path string) error {
	if err := checkDirectory(path); err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if mode := info.Mode().Perm(); mode&0o002 != 0 {
		return fmt.Errorf("every user of this machine can write to %s (mode %04o): chmod %04o %s", path, mode, mode&^0o002, path)
	}
	return nil
}

func readableFile(path string) (_ os.FileInfo, err error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	info, err := file.Stat()
	if err == nil && info.IsDir() {
		return nil, fmt.Errorf("%s is a directory: name a file", path)
	}
	return info, err
}

func checkDirectory(path string) error {
	_, err := os.ReadDir(path)
	return err
}

// checkParent is for what the daemon makes itself, in a directory that is there.
func checkParent(path string) error { return checkDirectory(filepath.Dir(path)) }
