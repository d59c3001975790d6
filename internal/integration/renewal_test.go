//go:build integration

package integration

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/pec-milter/pec-milter/internal/testpki"
)

// renew makes a second key on the provider's token and its certificate, which the
// directory has beside the old one; then both, the new one first, stand in the
// certificate file. Nothing is started anew.
func (s *stage) renew(_ *bytes.Buffer, _ *testscript.TestScript, args []string) error {
	p, err := s.provider(args[0])
	if err != nil {
		return err
	}
	renewed, err := s.world.authorities.newProvider(p.Title, p.Address)
	if err != nil {
		return err
	}
	if err := s.world.list(p, renewed); err != nil {
		return err
	}
	chain, key := p.daemonFile("renewed.pem"), p.daemonFile("renewed.key")
	if err := errors.Join(renewed.WriteFiles(chain, key), p.importFile(key, "02"), os.Remove(key)); err != nil {
		return err
	}
	fresh, err := os.ReadFile(chain)
	if err != nil {
		return err
	}
	old, err := os.ReadFile(p.daemonFile("signer.pem"))
	if err != nil {
		return err
	}
	return replaceFile(p.daemonFile("signer.pem"), string(fresh)+string(old))
}

// list adds a certificate to the provider's record in the directory.
func (w *World) list(p *Provider, c *testpki.Credential) error {
	for _, entry := range w.entries {
		if entry.Name == p.Title {
			entry.Certificates = append(entry.Certificates, c.Certificate())
		}
	}
	path := filepath.Join(w.trustDir(), "directory.ldif")
	return errors.Join(writeDirectory(path+".new", w.entries), os.Rename(path+".new", path))
}
