package directory

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"github.com/go-ldap/ldap/v3"
	"github.com/go-ldap/ldif"

	"github.com/pec-milter/pec-milter/pec"
)

// baseDN is the root of the providers directory (RFC 6109 section 4.5).
const baseDN = "o=postacert"

// WriteLDIF writes a providers directory as in RFC 6109 section 4.5.10: the base
// record, then the providers in their order. What is written is read back first:
// an error tells what ReadLDIF would find wrong, and nothing was written.
func WriteLDIF(w io.Writer, providers []*pec.Provider) error { return writeEntries(w, providers, true) }

// WriteRecords writes records alone, without the base of the directory: what a
// provider publishes at its LDIFLocationURL, all its environments together (RFC
// 6109 section 4.5). It is read back as by WriteLDIF.
func WriteRecords(w io.Writer, records []*pec.Provider) error { return writeEntries(w, records, false) }

func writeEntries(w io.Writer, providers []*pec.Provider, withBase bool) error {
	file := &ldif.LDIF{Version: 1}
	if withBase {
		file.Entries = append(file.Entries, &ldif.Entry{Entry: baseEntry()})
	}
	for _, p := range providers {
		file.Entries = append(file.Entries, &ldif.Entry{Entry: providerEntry(p)})
	}
	text, err := ldif.Marshal(file)
	if err != nil {
		return fmt.Errorf("writing the directory: %w", err)
	}
	_, faults, err := ReadLDIF(bytes.NewReader([]byte(text)))
	if err == nil && len(faults) > 0 {
		err = faults[0]
	}
	if err != nil {
		return fmt.Errorf("the directory to be written: %w", err)
	}
	_, err = io.WriteString(w, text)
	return err
}

func baseEntry() *ldap.Entry {
	return &ldap.Entry{DN: baseDN, Attributes: []*ldap.EntryAttribute{
		{Name: "objectclass", Values: []string{"top", "organization"}},
		{Name: "o", Values: []string{"postacert"}},
		{Name: "description", Values: []string{"Base root for the PEC providers directory"}},
	}}
}

func providerEntry(p *pec.Provider) *ldap.Entry {
	entry := &ldap.Entry{DN: providerDN(p)}
	add := func(name string, values ...string) {
		if len(values) > 0 && values[0] != "" {
			entry.Attributes = append(entry.Attributes, &ldap.EntryAttribute{Name: name, Values: values})
		}
	}
	add("objectclass", "top", "provider")
	add("providerName", p.Name)
	add("providerUnit", p.Unit)
	for _, certificate := range p.Certificates {
		add("providerCertificateHash", pec.CertificateHash(certificate.Raw))
		add("providerCertificate;binary", string(certificate.Raw))
	}
	add("mailReceipt", p.MailReceipt)
	add("LDIFLocationURL", p.LocationURL)
	add("managedDomains", p.Domains...)
	return entry
}

// providerDN is the name of a main environment, or of a secondary one (RFC 6109
// section 4.5.7).
func providerDN(p *pec.Provider) string {
	dn := relativeDN("providerName", p.Name) + "," + baseDN
	if p.Unit != "" {
		dn = relativeDN("providerUnit", p.Unit) + "," + dn
	}
	return dn
}

// relativeDN escapes all but ASCII: the LDIF writer puts a dn down as it is.
func relativeDN(name, value string) string {
	pair := ldap.AttributeTypeAndValue{Type: name, Value: value}
	_, escaped, _ := strings.Cut(pair.String(), "=") // it has the name in lower case
	return name + "=" + escaped
}
