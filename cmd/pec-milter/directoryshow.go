package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/pec-milter/pec-milter/internal/config"
	"github.com/pec-milter/pec-milter/internal/directory"
	"github.com/pec-milter/pec-milter/pec"
)

// directoryChoice says which directory to look into.
type directoryChoice struct {
	Config    string `required:"" xor:"directory" type:"path" placeholder:"FILE" help:"The configuration, for the directory in use."`
	Directory string `required:"" xor:"directory" type:"path" placeholder:"FILE" help:"A directory as LDIF, instead."`
	JSON      bool   `name:"json" help:"One JSON object a line."`
}

func (d *directoryChoice) open() (*directory.Directory, error) {
	path := d.Directory
	if path == "" {
		c, err := config.Load(d.Config)
		if err != nil {
			return nil, &exit{exitConfig, err}
		}
		path = c.Directory.LDIF
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, &exit{exitNoInput, err}
	}
	defer f.Close()
	found, faults, err := directory.ReadLDIF(f)
	if err != nil {
		return nil, &exit{1, fmt.Errorf("%s: %w", path, err)}
	}
	for _, fault := range faults {
		fmt.Fprintf(os.Stderr, "pec-milter: %s: %v\n", path, fault)
	}
	return found, nil
}

// shownRecord is a record as it is printed.
type shownRecord struct {
	Name         string             `json:"name"`
	Unit         string             `json:"unit,omitempty"`
	MailReceipt  string             `json:"mail_receipt"`
	Domains      []string           `json:"domains"`
	Location     string             `json:"ldif_location_url,omitempty"`
	Certificates []shownCertificate `json:"certificates"`
}

type shownCertificate struct {
	Hash      string    `json:"sha1"` // providerCertificateHash
	Addresses []string  `json:"addresses,omitempty"`
	Issuer    string    `json:"issuer"`
	From      time.Time `json:"not_before"`
	Until     time.Time `json:"not_after"`
}

func newShownRecord(p *pec.Provider) shownRecord {
	r := shownRecord{Name: p.Name, Unit: p.Unit, MailReceipt: p.MailReceipt, Domains: p.Domains, Location: p.LocationURL, Certificates: []shownCertificate{}}
	for _, c := range p.Certificates {
		r.Certificates = append(r.Certificates, shownCertificate{pec.CertificateHash(c.Raw), c.EmailAddresses, c.Issuer.String(), c.NotBefore.UTC(), c.NotAfter.UTC()})
	}
	return r
}

func shown(providers []*pec.Provider) []shownRecord {
	records := make([]shownRecord, len(providers))
	for i, p := range providers {
		records[i] = newShownRecord(p)
	}
	return records
}

type listCommand struct{ directoryChoice }

// Run prints name, environment, number of domains and of certificates, and the
// service mailbox, between tabs.
func (l *listCommand) Run(o out) error {
	d, err := l.open()
	if err != nil {
		return err
	}
	records := shown(d.Providers())
	if l.JSON {
		return printJSON(o, records)
	}
	for _, r := range records {
		if _, err := fmt.Fprintf(o, "%s\t%s\t%d domains\t%d certificates\t%s\n", r.Name, r.Unit, len(r.Domains), len(r.Certificates), r.MailReceipt); err != nil {
			return err
		}
	}
	return nil
}

type showCommand struct {
	directoryChoice
	What string `arg:"" help:"A domain, the SHA-1 hash of a certificate, or a providerName, in any case."`
}

// Run prints all that the directory says. The exit code is 1 if it says nothing.
func (s *showCommand) Run(o out) error {
	d, err := s.open()
	if err != nil {
		return err
	}
	found := find(d, s.What)
	if len(found) == 0 {
		return &exit{1, fmt.Errorf("%q is no domain, certificate or provider of the directory", s.What)}
	}
	if s.JSON {
		return printJSON(o, shown(found))
	}
	for _, r := range shown(found) {
		err = errors.Join(err, printRecord(o, &r))
	}
	return err
}

func find(d *directory.Directory, what string) []*pec.Provider {
	if p := d.ByDomain(what); p != nil {
		return []*pec.Provider{p}
	}
	if found := d.ByCertificateHash(what); len(found) > 0 {
		return found
	}
	return slices.DeleteFunc(d.Providers(), func(p *pec.Provider) bool { return !strings.EqualFold(p.Name, what) })
}

func printRecord(w io.Writer, r *shownRecord) error {
	fmt.Fprintf(w, "providerName     %s\n", r.Name)
	if r.Unit != "" {
		fmt.Fprintf(w, "providerUnit     %s\n", r.Unit)
	}
	fmt.Fprintf(w, "mailReceipt      %s\n", r.MailReceipt)
	if r.Location != "" {
		fmt.Fprintf(w, "LDIFLocationURL  %s\n", r.Location)
	}
	for _, c := range r.Certificates {
		fmt.Fprintf(w, "certificate      %s, for %s, %s to %s, by %s\n", c.Hash, strings.Join(c.Addresses, " "),
			c.From.Format(time.DateOnly), c.Until.Format(time.DateOnly), c.Issuer)
	}
	for _, domain := range r.Domains {
		fmt.Fprintf(w, "managedDomains   %s\n", domain)
	}
	_, err := fmt.Fprintln(w)
	return err
}
