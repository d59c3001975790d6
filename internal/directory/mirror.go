package directory

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/go-ldap/ldap/v3"

	"github.com/pec-milter/pec-milter/pec"
)

// Mirrored counts what was done in an LDAP mirror, in records.
type Mirrored struct {
	Added, Changed, Removed int
	// LeftOut has no certificate that can be used, or is a secondary environment of
	// a provider that has no main one: LDAP takes neither.
	LeftOut int
}

// write brings an LDAP server to what the providers are, by the differences alone
// (contrib/openldap has the schema). Entries that are no provider's stay as they
// are.
func (s *Server) write(ctx context.Context, providers []*pec.Provider) (*Mirrored, error) {
	conn, err := s.dial(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if err := addBase(conn); err != nil {
		return nil, err
	}
	found, err := searchRecords(conn)
	if err != nil {
		return nil, err
	}
	m := &Mirrored{}
	wanted := m.entries(providers)
	there := make(map[string]*ldap.Entry)
	for _, entry := range found {
		there[normalDN(entry.DN)] = entry
	}
	if err := m.put(conn, wanted, there); err != nil {
		return m, err
	}
	return m, m.remove(conn, wanted, there)
}

// addBase makes the root of the directory if it is not there.
func addBase(conn *ldap.Conn) error {
	request := ldap.NewAddRequest(baseDN, nil)
	for _, attribute := range baseEntry().Attributes {
		request.Attribute(attribute.Name, attribute.Values)
	}
	if err := butFor(ldap.LDAPResultEntryAlreadyExists, conn.Add(request)); err != nil {
		return fmt.Errorf("adding %s: %w", baseDN, err)
	}
	return nil
}

// entries are the records as LDAP takes them, by their normal DN.
func (m *Mirrored) entries(providers []*pec.Provider) map[string]*ldap.Entry {
	all := make(map[string]*ldap.Entry)
	for _, p := range providers {
		if len(p.Certificates) > 0 {
			all[normalDN(providerDN(p))] = providerEntry(p)
		}
	}
	for dn := range all {
		if parent := parentDN(dn); parent != baseDN && all[parent] == nil {
			delete(all, dn)
		}
	}
	m.LeftOut = len(providers) - len(all)
	return all
}

// put adds what is missing, main environments first, and changes what differs.
func (m *Mirrored) put(conn *ldap.Conn, wanted, there map[string]*ldap.Entry) error {
	for _, dn := range slices.SortedFunc(maps.Keys(wanted), fromTheRoot) {
		var err error
		present := there[dn]
		if present == nil {
			m.Added++
			err = butFor(ldap.LDAPResultEntryAlreadyExists, conn.Add(addRequest(wanted[dn])))
		} else if request := modifyRequest(present, wanted[dn]); len(request.Changes) > 0 {
			m.Changed++
			err = butFor(ldap.LDAPResultNoSuchObject, conn.Modify(request))
		}
		if err != nil {
			return fmt.Errorf("record %q: %w", wanted[dn].DN, err)
		}
	}
	return nil
}

// remove removes what is no more, secondary environments first.
func (m *Mirrored) remove(conn *ldap.Conn, wanted, there map[string]*ldap.Entry) error {
	for _, dn := range slices.Backward(slices.SortedFunc(maps.Keys(there), fromTheRoot)) {
		if wanted[dn] != nil {
			continue
		}
		m.Removed++
		if err := butFor(ldap.LDAPResultNoSuchObject, conn.Del(ldap.NewDelRequest(there[dn].DN, nil))); err != nil {
			return fmt.Errorf("record %q: %w", there[dn].DN, err)
		}
	}
	return nil
}

// butFor lets one answer of the server pass: another node was there first, and the
// next fetch sees to what is left.
func butFor(code uint16, err error) error {
	if ldap.IsErrorWithCode(err, code) {
		return nil
	}
	return err
}

func addRequest(entry *ldap.Entry) *ldap.AddRequest {
	request := ldap.NewAddRequest(entry.DN, nil)
	for name, values := range valuesOf(entry) {
		request.Attribute(name, values)
	}
	return request
}

// modifyRequest replaces the attributes that differ, whole: certificates have no
// rule by which LDAP could tell one from another (RFC 6109 section 4.5.2).
func modifyRequest(present, wanted *ldap.Entry) *ldap.ModifyRequest {
	request := ldap.NewModifyRequest(present.DN, nil)
	has, wants := valuesOf(present), valuesOf(wanted)
	for _, name := range recordAttributes()[1:] { // a record never changes its class
		name = strings.ToLower(name)
		if added, removed := difference(has[name], wants[name]); len(added)+len(removed) > 0 {
			request.Replace(name, wants[name])
		}
	}
	return request
}

// valuesOf are the values by the attribute's name in lower case, options included.
func valuesOf(entry *ldap.Entry) map[string][]string {
	values := make(map[string][]string)
	for _, attribute := range entry.Attributes {
		name := strings.ToLower(attribute.Name)
		values[name] = append(values[name], attribute.Values...)
	}
	return values
}

// normalDN is a DN in the form in which equal ones are the same text.
func normalDN(dn string) string {
	parsed, err := ldap.ParseDN(dn)
	if err != nil {
		return strings.ToLower(dn)
	}
	return strings.ToLower(parsed.String())
}

func parentDN(dn string) string {
	parsed, err := ldap.ParseDN(dn)
	if err != nil || len(parsed.RDNs) < 2 {
		return ""
	}
	parsed.RDNs = parsed.RDNs[1:]
	return strings.ToLower(parsed.String())
}

func byDN(a, b *ldap.Entry) int { return fromTheRoot(normalDN(a.DN), normalDN(b.DN)) }

// fromTheRoot sorts DNs so that what is above comes before what is below.
func fromTheRoot(a, b string) int {
	if depth := strings.Count(a, ",") - strings.Count(b, ","); depth != 0 {
		return depth
	}
	return strings.Compare(a, b)
}
