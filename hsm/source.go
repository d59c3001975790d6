package hsm

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"log/slog"
	"os"
	"slices"

	"github.com/pec-milter/pec-milter/internal/point"
)

// source is where keys and certificates come from.
type source struct {
	certificateFile string
	keyFile         string // empty: the keys are on a token
	find            func(public crypto.PublicKey) (crypto.Signer, error)
	probe           func(public crypto.PublicKey) // nil: there is nothing to probe
	use             func() []TokenUse             // nil: there is no token
	log             *slog.Logger
	close           func() error // nil: there is nothing to close
}

// digest tells whether the files have changed.
func (s *source) digest() (sum [sha256.Size]byte, err error) {
	data, err := readFile(s.certificateFile)
	if err != nil {
		return sum, err
	}
	if s.keyFile != "" {
		keys, err := readKeyFile(s.keyFile)
		if err != nil {
			return sum, err
		}
		data = slices.Concat(data, []byte{0}, keys)
	}
	return sha256.Sum256(data), nil
}

// load reads the certificates and finds their keys. The first credential signs.
func (s *source) load() (credentials []point.Credential, err error) {
	chains, err := readChains(s.certificateFile)
	if err != nil {
		return nil, err
	}
	for n, chain := range chains {
		key, err := s.find(chain[0].PublicKey)
		switch {
		case err == nil:
			credentials = append(credentials, point.Credential{Key: key, Chain: chain})
		case n == 0:
			return nil, fmt.Errorf("certificate file %s: the key does not belong to the first certificate (%s): "+
				"the signing certificate must come first: %w", s.certificateFile, chain[0].Subject, err)
		default:
			s.log.Warn("earlier signing certificate left out: its key is not there", "file", s.certificateFile,
				"serial", chain[0].SerialNumber.Text(16), "error", err)
		}
	}
	return credentials, nil
}

func readFile(path string) ([]byte, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading certificate file: %w", err)
	}
	return data, nil
}

// readChains reads the certificates of a PEM file. The first of each chain is fit
// to sign.
func readChains(path string) ([][]*x509.Certificate, error) {
	data, err := readFile(path)
	if err != nil {
		return nil, err
	}
	all, err := parseCertificates(data)
	if err != nil {
		return nil, fmt.Errorf("certificate file %s: %w", path, err)
	}
	chains := split(all)
	for _, chain := range chains {
		if err := checkPublic(chain[0].PublicKey); err != nil {
			return nil, fmt.Errorf("certificate file %s: %w", path, err)
		}
	}
	return chains, nil
}

func parseCertificates(data []byte) ([]*x509.Certificate, error) {
	var all []*x509.Certificate
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d: %w", len(all)+1, err)
		}
		all = append(all, certificate)
	}
	// The PEM decoder passes over what is damaged without a word.
	if begun := bytes.Count(data, []byte("-----BEGIN CERTIFICATE-----")); begun != len(all) {
		return nil, fmt.Errorf("%d of its %d certificates are damaged: copy it again", begun-len(all), begun)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("no certificate in it: it must be PEM, the signing certificate first, then its intermediates")
	}
	return all, nil
}

// split tells the chains apart: a certificate that is no authority's, nor that of
// an issuer before it, begins the next.
func split(all []*x509.Certificate) (chains [][]*x509.Certificate) {
	for n, c := range all {
		last := len(chains) - 1
		if n > 0 && (c.IsCA || slices.ContainsFunc(chains[last], func(below *x509.Certificate) bool {
			return bytes.Equal(below.RawIssuer, c.RawSubject)
		})) {
			chains[last] = append(chains[last], c)
			continue
		}
		chains = append(chains, []*x509.Certificate{c})
	}
	return chains
}
