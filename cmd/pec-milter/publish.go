package main

import (
	"bytes"
	"cmp"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/mattn/go-isatty"

	"github.com/pec-milter/pec-milter/internal/config"
	"github.com/pec-milter/pec-milter/internal/directory"
	"github.com/pec-milter/pec-milter/pec"
)

type publishCommand struct {
	Config   string   `required:"" type:"path" placeholder:"FILE" help:"The configuration."`
	Location string   `placeholder:"URL" help:"LDIFLocationURL; without it that of our record in the directory."`
	Add      []string `type:"path" placeholder:"FILE" help:"A certificate to come, in PEM. It must be in the directory before it signs."`
	Drop     []string `placeholder:"SHA1" help:"Leave out a certificate of our record that has not expired."`
	Output   string   `type:"path" placeholder:"FILE" help:"Where to write it; without it on standard output."`
	Plain    bool     `help:"Plain LDIF, not signed: for a look, without the key."`
}

// Run writes our own record, with all of our environments, as RFC 6109 section 4.5
// wants it published: LDIF in a signed .p7m.
func (p *publishCommand) Run(o out) error {
	c, err := loadConfig(p.Config)
	if err != nil {
		return err
	}
	s := newServices(c, clock(), slog.New(slog.NewTextHandler(os.Stderr, nil)))
	defer s.close()
	records, err := p.records(c, s.provider.Clock())
	if err != nil {
		return err
	}
	var text bytes.Buffer
	if err := directory.WriteRecords(&text, records); err != nil {
		return &exit{1, err}
	}
	if p.Plain {
		return p.write(o, text.Bytes())
	}
	if p.Output == "" && o.Writer == os.Stdout && isatty.IsTerminal(os.Stdout.Fd()) {
		return &exit{exitUsage, errors.New("a signed file is no text: write it into a file with --output, or use --plain")}
	}
	if err := s.openSigner(c); err != nil {
		return err
	}
	key, chain, err := s.provider.Signer.Current()
	if err != nil {
		return err
	}
	p7m, err := pec.SignData(text.Bytes(), key, chain, s.provider.Clock())
	if err != nil {
		return err
	}
	return p.write(o, p7m)
}

func (p *publishCommand) write(o out, data []byte) error {
	if p.Output != "" {
		return os.WriteFile(p.Output, data, 0o644)
	}
	_, err := o.Write(data)
	return err
}

// records are the main environment as the configuration has it, and the secondary
// ones as the directory has them.
func (p *publishCommand) records(c *config.Config, now time.Time) ([]*pec.Provider, error) {
	current, err := readCertificate(c.Signer.CertificateFile)
	if err != nil {
		return nil, &exit{exitConfig, err}
	}
	main := &pec.Provider{
		Name: c.Provider.Name, MailReceipt: c.Provider.MailReceipt, LocationURL: p.Location,
		Certificates: []*x509.Certificate{current},
	}
	for _, path := range p.Add {
		next, err := readCertificate(path)
		if err != nil {
			return nil, &exit{exitNoInput, err}
		}
		main.Certificates = append(main.Certificates, next)
	}
	published, err := publishedRecords(c, current)
	if err != nil {
		return nil, err
	}
	records := []*pec.Provider{main}
	main.Domains = slices.Clone(c.Provider.Domains)
	for _, record := range published {
		main.Name = record.Name
		if record.Unit == "" {
			main.LocationURL = cmp.Or(main.LocationURL, record.LocationURL)
			main.Certificates = append(main.Certificates, p.kept(record, now)...)
			continue
		}
		records = append(records, record)
		main.Domains = slices.DeleteFunc(main.Domains, func(d string) bool { return slices.Contains(record.Domains, d) })
	}
	main.Certificates = distinct(main.Certificates)
	return records, nil
}

// kept are the certificates of the record that others still judge our mail by.
func (p *publishCommand) kept(record *pec.Provider, now time.Time) []*x509.Certificate {
	return slices.DeleteFunc(slices.Clone(record.Certificates), func(c *x509.Certificate) bool {
		dropped := slices.ContainsFunc(p.Drop, func(hash string) bool { return strings.EqualFold(hash, pec.CertificateHash(c.Raw)) })
		return dropped || now.After(c.NotAfter)
	})
}

func distinct(certificates []*x509.Certificate) (all []*x509.Certificate) {
	for _, c := range certificates {
		if !slices.ContainsFunc(all, c.Equal) {
			all = append(all, c)
		}
	}
	return all
}

// publishedRecords are ours in the directory that is here; none if there is no
// directory yet, or we are not in it.
func publishedRecords(c *config.Config, current *x509.Certificate) ([]*pec.Provider, error) {
	f, err := os.Open(c.Directory.LDIF)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, &exit{exitNoInput, err}
	}
	defer f.Close()
	d, _, err := directory.ReadLDIF(f)
	if err != nil {
		return nil, &exit{exitNoInput, fmt.Errorf("%s: %w", c.Directory.LDIF, err)}
	}
	name := c.Provider.Name
	if us := pec.FindProvider(d, current); us != nil {
		name = us.Name
	}
	return slices.DeleteFunc(d.Providers(), func(p *pec.Provider) bool { return !strings.EqualFold(p.Name, name) }), nil
}

// readCertificate reads the first certificate of a file in PEM.
func readCertificate(path string) (*x509.Certificate, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, fmt.Errorf("%s: no certificate in PEM", path)
	}
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return certificate, nil
}
