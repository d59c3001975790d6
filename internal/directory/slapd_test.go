package directory

import (
	"fmt"
	"strings"
	"testing"

	"github.com/go-ldap/ldap/v3"
)

// TestFetchFromSlapd: a real directory server, asked in the ways that certificates
// ask.
func TestFetchFromSlapd(t *testing.T) {
	b := newBench(t)
	list := b.list(b.pki.sub)
	server := slapd(t, nil)
	addRevocations(t, writer(server), list)
	address := strings.TrimPrefix(server.URL, "ldap://")
	for _, query := range []string{
		"cn=PEC%20CA,o=postacert?certificateRevocationList;binary", "cn=PEC%20CA,o=postacert?certificateRevocationList",
		"cn=PEC%20CA,o=postacert", "o=postacert?certificateRevocationList;binary?sub?(cn=PEC%20CA)",
	} {
		if got, err := fetch(t.Context(), fmt.Sprintf("ldap://%s/%s", address, query)); err != nil || string(got) != list {
			t.Errorf("%s: got %d bytes, %v, want the list", query, len(got), err)
		}
	}
	if _, err := fetch(t.Context(), fmt.Sprintf("ldap://%s/cn=Other,o=postacert", address)); err == nil {
		t.Error("an entry that is not there: no error")
	}
}

// addRevocations adds one entry that has a revocation list, as an authority's.
func addRevocations(t *testing.T, server *Server, list string) {
	t.Helper()
	conn, err := server.dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	base := ldap.NewAddRequest(baseDN, nil)
	for _, attribute := range baseEntry().Attributes {
		base.Attribute(attribute.Name, attribute.Values)
	}
	authority := ldap.NewAddRequest("cn=PEC CA,"+baseDN, nil)
	authority.Attribute("objectClass", []string{"cRLDistributionPoint"})
	authority.Attribute("cn", []string{"PEC CA"})
	authority.Attribute("certificateRevocationList;binary", []string{list})
	for _, entry := range []*ldap.AddRequest{base, authority} {
		if err := conn.Add(entry); err != nil {
			t.Fatalf("%s: %v", entry.DN, err)
		}
	}
}
