package directory

import (
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/go-ldap/ldap/v3"
	"github.com/go-ldap/ldif"

	"github.com/pec-milter/pec-milter/pec"
)

// record is what was made of one record of the file.
type record struct {
	line     int
	dn       string        // as written
	name     string        // the dn, normalised
	owner    string        // the provider whose environment it is: name without providerUnit
	domains  []string      // claimed, by a record that is left out too
	provider *pec.Provider // nil: not a provider, or left out
	faults   []*Fault
}

func (rec *record) fault(format string, args ...any) {
	rec.faults = append(rec.faults, &Fault{rec.line, rec.dn, fmt.Errorf(format, args...)})
}

// attributes are the values of a record by the attribute's name in lower case,
// without options such as ";binary".
type attributes map[string][]string

// readRecord reads one record. Without provider and faults it is none of ours.
func readRecord(raw rawRecord) *record {
	firstLine, _, _ := strings.Cut(raw.text, "\n")
	rec := &record{line: raw.line, dn: fmt.Sprintf("%.200s", strings.TrimPrefix(firstLine, "dn: "))}
	entry, err := parseRecord(raw)
	if err != nil {
		rec.fault("record left out: %w", err)
		return rec
	}
	if entry == nil {
		return rec
	}
	rec.dn = entry.DN
	if values := readAttributes(entry); isProvider(values) {
		rec.read(values)
	}
	return rec
}

// parseRecord gives nil for a record that has no content, as "version: 1".
func parseRecord(raw rawRecord) (*ldap.Entry, error) {
	if err := refuseReferences(raw.text); err != nil {
		return nil, err
	}
	parsed, err := ldif.Parse(raw.text + "\n")
	if err != nil {
		// The library counts lines of the one record that it was given.
		if detail := new(ldif.ParseError); errors.As(err, &detail) {
			err = errors.New(detail.Message)
		}
		return nil, err
	}
	if len(parsed.Entries) == 0 {
		return nil, nil
	}
	if parsed.Entries[0].Entry == nil {
		return nil, errors.New("it is a change record: give the content, not changes")
	}
	return parsed.Entries[0].Entry, nil
}

// refuseReferences refuses values by reference ("attribute:< file:///…"): the
// library would read that file of this machine for whoever wrote the record.
func refuseReferences(text string) error {
	for line := range strings.Lines(text) {
		if name, value, _ := strings.Cut(line, ":"); strings.HasPrefix(value, "<") {
			return fmt.Errorf("the value of %.60q is given by reference", name)
		}
	}
	return nil
}

func readAttributes(entry *ldap.Entry) attributes {
	values := make(attributes)
	for _, attribute := range entry.Attributes {
		name, _, _ := strings.Cut(strings.ToLower(attribute.Name), ";")
		values[name] = append(values[name], attribute.Values...)
	}
	return values
}

func isProvider(values attributes) bool {
	return slices.ContainsFunc(values["objectclass"], func(class string) bool {
		return strings.EqualFold(class, "provider")
	})
}

// read reads a record of the object class provider (RFC 6109 section 4.5.9).
func (rec *record) read(values attributes) {
	provider, err := rec.readProvider(values)
	if err != nil {
		rec.fault("record left out: %w", err)
		return
	}
	provider.Certificates = rec.readCertificates(values)
	if provider.LocationURL, err = single(values, "LDIFLocationURL"); err != nil {
		rec.fault("value left out: %w", err)
	}
	rec.provider = provider
}

// readProvider reads what a record cannot do without. Its certificates are not
// among that: its domains are certified even while none of them can be used.
func (rec *record) readProvider(values attributes) (*pec.Provider, error) {
	rec.readDomains(values["manageddomains"])
	if err := rec.readDN(); err != nil {
		return nil, err
	}
	p := &pec.Provider{Domains: rec.domains}
	var err error
	if p.Name, err = required(values, "providerName"); err != nil {
		return nil, err
	}
	if p.Unit, err = single(values, "providerUnit"); err != nil {
		return nil, err
	}
	if p.MailReceipt, err = readMailReceipt(values); err != nil {
		return nil, err
	}
	if len(p.Domains) == 0 {
		return nil, errors.New("managedDomains is missing or holds no domain")
	}
	return p, nil
}

// readDN takes from the dn who wrote the record: the server that gathers the
// providers' records lets each write below its own providerName only.
func (rec *record) readDN() error {
	rec.name = strings.ToLower(rec.dn)
	rec.owner = rec.name
	dn, err := ldap.ParseDN(rec.dn)
	if err != nil {
		return fmt.Errorf("the dn: %w", err)
	}
	rec.name = strings.ToLower(dn.String())
	if len(dn.RDNs) > 1 && strings.EqualFold(dn.RDNs[0].Attributes[0].Type, "providerUnit") {
		dn.RDNs = dn.RDNs[1:]
	}
	rec.owner = strings.ToLower(dn.String())
	return nil
}

func (rec *record) readDomains(values []string) {
	var bad []string
	seen := make(map[string]bool)
	for _, value := range values {
		domain := strings.ToLower(value)
		switch {
		case !isDomain(value):
			bad = append(bad, value)
		case !seen[domain]:
			seen[domain] = true
			rec.domains = append(rec.domains, domain)
		}
	}
	if len(bad) > 0 {
		rec.fault("%d managedDomains left out: not a domain: %.300q", len(bad), bad[0])
	}
}

// readCertificates keeps the certificates that can be read and whose hash is
// listed. The order of hashes means nothing: both attributes are sets.
func (rec *record) readCertificates(values attributes) []*x509.Certificate {
	hashes := values["providercertificatehash"]
	seen := make(map[string]bool)
	var certificates []*x509.Certificate
	for _, der := range values["providercertificate"] {
		hash := pec.CertificateHash([]byte(der))
		if seen[hash] {
			continue
		}
		seen[hash] = true
		if certificate := rec.readCertificate(der, hash, hashes); certificate != nil {
			certificates = append(certificates, certificate)
		}
	}
	for _, hash := range hashes {
		if !seen[strings.ToLower(hash)] {
			rec.fault("providerCertificateHash %.60q belongs to none of its certificates", hash)
		}
	}
	if len(certificates) == 0 {
		rec.fault("no certificate that can be used: no message of this provider will be believed")
	}
	return certificates
}

func (rec *record) readCertificate(der, hash string, hashes []string) *x509.Certificate {
	listed := slices.ContainsFunc(hashes, func(h string) bool { return strings.EqualFold(h, hash) })
	if !listed {
		rec.fault("certificate left out: its hash %s is not among providerCertificateHash", hash)
		return nil
	}
	certificate, err := x509.ParseCertificate([]byte(der))
	if err != nil {
		rec.fault("certificate with hash %s left out: %w", hash, err)
		return nil
	}
	return certificate
}

// claim takes the record's domains. It is an error if another provider took one
// before: then nobody can tell which of them is lying. Two environments of one
// provider may share a domain.
func (rec *record) claim(claims map[string]*record) error {
	var shared []string
	for _, domain := range rec.domains {
		other := claims[domain]
		if other == nil {
			claims[domain] = rec
			continue
		}
		if other.owner != rec.owner || other.name == rec.name {
			return fmt.Errorf("domain %s is claimed twice: by record %q (line %d) and by record %q (line %d)",
				domain, other.dn, other.line, rec.dn, rec.line)
		}
		shared = append(shared, domain)
	}
	if len(shared) > 0 {
		rec.fault("%d managedDomains are also in another environment of the provider: %s", len(shared), shared[0])
	}
	return nil
}

// readMailReceipt reads the address of the service mailbox: dot-atom-text on
// both sides (RFC 6109 section 4.5.4).
func readMailReceipt(values attributes) (string, error) {
	address, err := required(values, "mailReceipt")
	if err != nil {
		return "", err
	}
	local, domain, _ := strings.Cut(address, "@")
	if !isDotAtom(local) || len(local) > 64 || !isDomain(domain) {
		return "", fmt.Errorf("mailReceipt %.300q is not an address", address)
	}
	return address, nil
}

func required(values attributes, name string) (string, error) {
	value, err := single(values, name)
	if err == nil && value == "" {
		err = fmt.Errorf("%s is missing", name)
	}
	return value, err
}

// single is the value of an attribute that may have only one; empty where it is
// absent.
func single(values attributes, name string) (string, error) {
	all := values[strings.ToLower(name)]
	switch {
	case len(all) == 0:
		return "", nil
	case len(all) > 1:
		return "", fmt.Errorf("%s is given %d times", name, len(all))
	}
	value := strings.TrimSpace(all[0])
	if !utf8.ValidString(value) || strings.ContainsFunc(value, unicode.IsControl) {
		return "", fmt.Errorf("%s %.60q is not text", name, value)
	}
	return value, nil
}
