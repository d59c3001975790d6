package main

import (
	"crypto/rand"
	"crypto/x509"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/pec-milter/pec-milter/internal/config"
	"github.com/pec-milter/pec-milter/internal/directory"
	"github.com/pec-milter/pec-milter/internal/testpki"
	"github.com/pec-milter/pec-milter/pec"
)

// TestPublishedRecords: a main environment with every certificate that others still
// judge our mail by, and all of our secondary environments, which have no
// LDIFLocationURL (RFC 6109 sections 4.5, 4.5.6 and 4.5.7).
func TestPublishedRecords(t *testing.T) {
	dir, now := t.TempDir(), time.Now()
	file := func(name string) string { return filepath.Join(dir, name) }
	root, err := testpki.NewRoot(testpki.Source{Now: now, Rand: rand.Reader}, "Root")
	if err != nil {
		t.Fatal(err)
	}
	certify := func(name string, changes ...testpki.Change) *x509.Certificate {
		c, err := root.CertifyProvider("Alfa", "pec@alfa.example", root.Key.Public(), changes...)
		if err != nil {
			t.Fatal(err)
		}
		if err := testpki.WriteCertificates(file(name), c.Certificate()); err != nil {
			t.Fatal(err)
		}
		return c.Certificate()
	}
	current, next, before, dropped := certify("current"), certify("next"), certify("before"), certify("dropped")
	expired := certify("expired", testpki.Valid(now.AddDate(-2, 0, 0), now.AddDate(0, 0, -1)))
	unit := &pec.Provider{Name: "Alfa S.p.A.", Unit: "Due", Certificates: []*x509.Certificate{before}, MailReceipt: "r@due.alfa.example", Domains: []string{"due.alfa.example"}}
	in, err := os.Create(file("providers.ldif"))
	if err != nil {
		t.Fatal(err)
	}
	err = directory.WriteLDIF(in, []*pec.Provider{
		{Name: "Alfa S.p.A.", Certificates: []*x509.Certificate{expired, before, dropped, current}, MailReceipt: "old@alfa.example",
			Domains: []string{"alfa.example"}, LocationURL: "https://alfa.example/alfa.ldif.p7m"},
		unit,
		{Name: "Beta", Certificates: []*x509.Certificate{next}, MailReceipt: "r@beta.example", Domains: []string{"beta.example"}},
	})
	if err := errors.Join(err, in.Close()); err != nil {
		t.Fatal(err)
	}
	c := &config.Config{
		Provider:  config.Provider{Name: "Alfa", Domains: []string{"alfa.example", "due.alfa.example", "new.example"}, MailReceipt: "r@alfa.example"},
		Signer:    config.Signer{CertificateFile: file("current")},
		Directory: config.Directory{LDIF: file("providers.ldif")},
	}
	p := &publishCommand{Add: []string{file("next")}, Drop: []string{pec.CertificateHash(dropped.Raw)}}
	records, err := p.records(c, now)
	if err != nil || len(records) != 2 {
		t.Fatalf("records = %v, %v; want two", records, err)
	}
	main := records[0]
	if !slices.EqualFunc(main.Certificates, []*x509.Certificate{current, next, before}, (*x509.Certificate).Equal) {
		t.Errorf("%d certificates, want the current one, the next and the one before", len(main.Certificates))
	}
	if main.Name != "Alfa S.p.A." || main.LocationURL != "https://alfa.example/alfa.ldif.p7m" || main.MailReceipt != "r@alfa.example" ||
		!slices.Equal(main.Domains, []string{"alfa.example", "new.example"}) {
		t.Errorf("main environment %+v", main)
	}
	if records[1].Unit != "Due" || records[1].LocationURL != "" || !slices.Equal(records[1].Domains, unit.Domains) {
		t.Errorf("secondary environment %+v, want it as it is in the directory", records[1])
	}
	if err := os.Remove(file("providers.ldif")); err != nil {
		t.Fatal(err)
	}
	if records, err := p.records(c, now); err != nil || len(records) != 1 || len(records[0].Certificates) != 2 || records[0].Name != "Alfa" {
		t.Errorf("without a directory: %v, %v; want one record, by the configuration", records, err)
	}
}
