package directory

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"

	"github.com/go-ldap/ldap/v3"
)

// fetchLDAP gets the revocation list of an LDAP URL (RFC 4516), from a server
// that tells it to anybody.
func fetchLDAP(ctx context.Context, u *url.URL) ([]byte, error) {
	search, err := searchOf(u)
	if err != nil {
		return nil, err
	}
	connection, err := dialLDAP(ctx, u)
	if err != nil {
		return nil, err
	}
	defer connection.Close()
	result, err := connection.Search(search)
	if err != nil {
		return nil, err
	}
	for _, entry := range result.Entries {
		for _, attribute := range entry.Attributes {
			if len(attribute.ByteValues) > 0 && sameAttribute(attribute.Name, search.Attributes[0]) {
				return attribute.ByteValues[0], nil
			}
		}
	}
	return nil, fmt.Errorf("%q has no %s", search.BaseDN, search.Attributes[0])
}

// searchOf is what an LDAP URL asks for: host/DN?attribute?scope?filter.
func searchOf(u *url.URL) (*ldap.SearchRequest, error) {
	asked := append(strings.Split(u.RawQuery, "?"), "", "", "")
	for i := range asked {
		var err error
		if asked[i], err = url.PathUnescape(asked[i]); err != nil {
			return nil, err
		}
	}
	scope, known := map[string]int{
		"": ldap.ScopeBaseObject, "base": ldap.ScopeBaseObject, "one": ldap.ScopeSingleLevel, "sub": ldap.ScopeWholeSubtree,
	}[strings.ToLower(asked[1])]
	if !known {
		return nil, fmt.Errorf("%q is no scope", asked[1])
	}
	// One entry: a distribution point has one list.
	return ldap.NewSearchRequest(strings.TrimPrefix(u.Path, "/"), scope, ldap.NeverDerefAliases, 1, int(fetchTime.Seconds()), false,
		cmp.Or(asked[2], "(objectClass=*)"), []string{cmp.Or(asked[0], "certificateRevocationList;binary")}, nil), nil
}

// sameAttribute compares names of attributes without their options: a server may
// leave ";binary" out (RFC 4522 section 3).
func sameAttribute(a, b string) bool {
	a, _, _ = strings.Cut(a, ";")
	b, _, _ = strings.Cut(b, ";")
	return strings.EqualFold(a, b)
}

// dialLDAP connects to a server of which nothing is believed: it may say only so
// much, and the connection ends with ctx.
func dialLDAP(ctx context.Context, u *url.URL) (*ldap.Conn, error) {
	plain := &net.Dialer{}
	dial, port := plain.DialContext, ldap.DefaultLdapPort
	if u.Scheme == "ldaps" {
		dial, port = (&tls.Dialer{NetDialer: plain}).DialContext, ldap.DefaultLdapsPort
	}
	raw, err := dial(ctx, "tcp", net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), port)))
	if err != nil {
		return nil, err
	}
	if deadline, ok := ctx.Deadline(); ok {
		if err := raw.SetDeadline(deadline); err != nil {
			return nil, errors.Join(err, raw.Close())
		}
	}
	context.AfterFunc(ctx, func() { raw.Close() })
	connection := ldap.NewConn(&limitedConn{raw, maxRevocations + maxLDAP}, u.Scheme == "ldaps")
	connection.Start()
	return connection, nil
}

// maxLDAP is what a server may say beside the list itself, in bytes.
const maxLDAP = 1 << 20

// limitedConn reads so many bytes and no more: the library would keep in memory
// whatever the server sends.
type limitedConn struct {
	net.Conn
	left int
}

func (c *limitedConn) Read(p []byte) (int, error) {
	if c.left == 0 {
		return 0, fmt.Errorf("the answer is larger than %d MiB", maxRevocations>>20)
	}
	n, err := c.Conn.Read(p[:min(len(p), c.left)])
	c.left -= n
	return n, err
}
