package integration

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// eicar is what the antivirus industry takes for a virus in tests; in pieces, so
// that nobody takes this file for one.
const eicar = `X5O!P%@AP[4\PZX54(P^)7CC)7}` + `$EICAR-STANDARD-` + `ANTIVIRUS-TEST-FILE!$H+H*`

// EICAR is the test virus, which every provider's antivirus knows until it is
// told to ignore it.
func EICAR() string { return eicar }

// StartClamd configures the provider's clamd with contrib/clamav and starts it.
func (p *Provider) StartClamd() error {
	if err := p.writeClamdFiles(); err != nil {
		return err
	}
	var err error
	p.clamd, err = program{
		name:    "clamd of " + p.Name,
		command: []string{"/usr/sbin/clamd", "--config-file=" + p.clamdFile("clamd.conf")},
		log:     p.clamdLog(),
		guard:   p.world.guard,
	}.start()
	if err != nil {
		return err
	}
	return p.waitForServer(p.clamd, p.clamdLog(), "unix", p.ClamdSocket())
}

// StopClamd stops the antivirus: nothing can be scanned.
func (p *Provider) StopClamd() error { return p.clamd.stop() }

// IgnoreEICAR makes the antivirus take the test virus for clean, or find it again.
func (p *Provider) IgnoreEICAR(ignore bool) error {
	p.ignoreEICAR = ignore
	return errors.Join(p.StopClamd(), p.StartClamd())
}

// Quarantine gives what the provider says of each infected message that it keeps,
// as JSON. A quarantine that anybody else may read is an error.
func (p *Provider) Quarantine() (items []string, err error) {
	err = filepath.WalkDir(p.daemonFile("quarantine"), func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			err = fmt.Errorf("%s can be read by others: mode %v", path, info.Mode())
		}
		if err != nil || filepath.Ext(path) != ".json" {
			return err
		}
		content, err := os.ReadFile(path)
		items = append(items, string(content))
		return err
	})
	return items, err
}

// ClamdSocket is where the provider's antivirus listens.
func (p *Provider) ClamdSocket() string { return p.clamdFile("clamd.sock") }

func (p *Provider) clamdFile(name string) string { return filepath.Join(p.Dir, "clamav", name) }

func (p *Provider) clamdLog() string { return filepath.Join(p.Dir, "clamd.log") }

// writeClamdFiles: of a setting that stands twice clamd takes the first, so that
// contrib's come first.
func (p *Provider) writeClamdFiles() error {
	if err := makeDirectories(p.Dir, "clamav/db", "clamav/tmp"); err != nil {
		return err
	}
	contrib := filepath.Join(p.world.options.Contrib, "clamav")
	settings, err := os.ReadFile(filepath.Join(contrib, "pec-milter.conf"))
	if err != nil {
		return err
	}
	signatures, err := os.ReadFile(filepath.Join(contrib, "pec-milter.ndb"))
	if err != nil {
		return err
	}
	if !p.ignoreEICAR {
		signatures = append(signatures, "Eicar-Test:0:*:"+hex.EncodeToString([]byte(eicar))+"\n"...)
	}
	own := "\nForeground yes\nLocalSocket " + p.ClamdSocket() + "\nDatabaseDirectory " + p.clamdFile("db") +
		"\nTemporaryDirectory " + p.clamdFile("tmp") + "\n"
	return errors.Join(
		os.WriteFile(p.clamdFile("clamd.conf"), append(settings, own...), 0o644),
		os.WriteFile(p.clamdFile("db/pec-milter.ndb"), signatures, 0o644),
	)
}
