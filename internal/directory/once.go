package directory

import (
	"crypto/x509"
	"fmt"
	"log/slog"

	"github.com/pec-milter/pec-milter/pec"
)

// ReadTrust reads the files once, for a command that ends soon. What config
// leaves empty is left out of the trust: without LDIF it has no Directory, and
// without Roots the authorities are those of the system.
func ReadTrust(config Config, log *slog.Logger) (*pec.Trust, error) {
	s := &Source{config: config, log: log}
	trust := &pec.Trust{Revocations: s.readRevocations(), SHA1Until: config.SHA1Until}
	if config.LDIF != "" {
		directory, err := s.readDirectory()
		if err != nil {
			return nil, fmt.Errorf("providers directory: %w", err)
		}
		trust.Directory = directory
	}
	if config.Roots == "" {
		var err error
		if trust.Roots, err = x509.SystemCertPool(); err != nil {
			return nil, fmt.Errorf("authorities of the system: %w", err)
		}
		return trust, nil
	}
	authorities, err := s.readAuthorities()
	if err != nil {
		return nil, fmt.Errorf("trusted authorities: %w", err)
	}
	trust.Roots, trust.Intermediates = authorities.roots, authorities.intermediates
	return trust, nil
}
