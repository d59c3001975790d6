package directory

import (
	"cmp"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"

	"github.com/pec-milter/pec-milter/pec"
)

// What became of a record.
const (
	RecordAdded   = "added"
	RecordRemoved = "removed"
	RecordChanged = "changed"
)

// Change is what a new directory changes in one record. Of a record that is added
// or removed all domains and certificates are told.
type Change struct {
	Kind                string   `json:"kind"` // RecordAdded, RecordRemoved or RecordChanged
	Name                string   `json:"name"`
	Unit                string   `json:"unit,omitempty"`
	DomainsAdded        []string `json:"domains_added,omitempty"`
	DomainsRemoved      []string `json:"domains_removed,omitempty"`
	CertificatesAdded   []string `json:"certificates_added,omitempty"` // SHA-1, as providerCertificateHash
	CertificatesRemoved []string `json:"certificates_removed,omitempty"`
	// Values are other attributes, as "mailReceipt: OLD -> NEW".
	Values []string `json:"values,omitempty"`
}

// Compare tells what a new directory changes, in the order of names. A record is
// the same if its providerName and providerUnit are, in any case. The old one may
// be nil.
func Compare(old, now *Directory) []Change {
	before, after := byName(old), byName(now)
	names := maps.Clone(before)
	maps.Copy(names, after)
	var changes []Change
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if c := compareRecords(before[name], after[name]); c != nil {
			changes = append(changes, *c)
		}
	}
	return changes
}

func byName(d *Directory) map[string]*pec.Provider {
	records := make(map[string]*pec.Provider)
	if d == nil {
		return records
	}
	for _, p := range d.providers {
		name := strings.ToLower(p.Name + "\x00" + p.Unit)
		for records[name] != nil { // two providers of one name
			name += "\x00"
		}
		records[name] = p
	}
	return records
}

// compareRecords gives nil if nothing has changed. One of the records may be nil.
func compareRecords(old, now *pec.Provider) *Change {
	kind := RecordChanged
	switch {
	case old == nil:
		kind, old = RecordAdded, &pec.Provider{MailReceipt: now.MailReceipt, LocationURL: now.LocationURL}
	case now == nil:
		kind, now = RecordRemoved, &pec.Provider{Name: old.Name, Unit: old.Unit, MailReceipt: old.MailReceipt, LocationURL: old.LocationURL}
	}
	c := &Change{Kind: kind, Name: now.Name, Unit: now.Unit}
	c.DomainsAdded, c.DomainsRemoved = difference(old.Domains, now.Domains)
	c.CertificatesAdded, c.CertificatesRemoved = difference(hashes(old), hashes(now))
	c.compareValue("mailReceipt", old.MailReceipt, now.MailReceipt)
	c.compareValue("LDIFLocationURL", old.LocationURL, now.LocationURL)
	if kind == RecordChanged && len(c.DomainsAdded)+len(c.DomainsRemoved)+len(c.CertificatesAdded)+len(c.CertificatesRemoved)+len(c.Values) == 0 {
		return nil
	}
	return c
}

func (c *Change) compareValue(name, old, now string) {
	if old != now {
		c.Values = append(c.Values, fmt.Sprintf("%s: %s -> %s", name, cmp.Or(old, "(none)"), cmp.Or(now, "(none)")))
	}
}

// difference gives what is in one list only, sorted.
func difference(old, now []string) (added, removed []string) {
	return without(now, old), without(old, now)
}

func without(list, other []string) (only []string) {
	there := make(map[string]bool, len(other))
	for _, text := range other {
		there[text] = true
	}
	for _, text := range list {
		if !there[text] {
			only = append(only, text)
		}
	}
	slices.Sort(only)
	return only
}

func hashes(p *pec.Provider) (all []string) {
	for _, certificate := range p.Certificates {
		all = append(all, pec.CertificateHash(certificate.Raw))
	}
	return all
}

// logRecords: who comes or goes is rare, and worth a look.
func logRecords(log *slog.Logger, changes []Change) {
	for _, c := range changes {
		if c.Kind != RecordChanged {
			log.Warn("a provider came or went", "what", c.Kind, "provider", c.Name, "unit", c.Unit,
				"domains", some(slices.Concat(c.DomainsAdded, c.DomainsRemoved)))
			continue
		}
		log.Info("a provider's record has changed", "provider", c.Name, "unit", c.Unit, "values", c.Values,
			"domains_added", some(c.DomainsAdded), "domains_removed", some(c.DomainsRemoved),
			"certificates_added", c.CertificatesAdded, "certificates_removed", c.CertificatesRemoved)
	}
}

// some is a list for a line of the log.
func some(list []string) string {
	const most = 10
	if len(list) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(list[:most], " "), len(list)-most)
	}
	return strings.Join(list, " ")
}
