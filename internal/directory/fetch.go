package directory

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"time"

	"github.com/go-ldap/ldap/v3"
	"github.com/go-ldap/ldif"
)

// fetched is a providers directory as it came, not yet read.
type fetched struct {
	ldif   []byte
	signer string    // who signed it; empty: it came by LDAP
	signed time.Time // when, as the signer says; zero: he does not, or by LDAP
}

// Progress is told how much of a file has come, in bytes. total is -1 where it is
// not known.
type Progress func(read, total int64)

// fetch gets the directory. A file, here or by HTTPS, must be signed by one of the
// signers; what an LDAP server says has no signature.
func (s *Server) fetch(ctx context.Context, signers string, now time.Time, progress Progress) (*fetched, error) {
	switch s.scheme() {
	case "ldap", "ldaps", "ldapi":
		return s.fetchLDAP(ctx)
	case "", "https":
	default:
		return nil, fmt.Errorf("no way to fetch by %s", s.scheme())
	}
	trusted, err := ReadSigners(signers)
	if err != nil {
		return nil, err
	}
	data, err := s.fetchFile(ctx, progress)
	if err != nil {
		return nil, err
	}
	taken, err := trusted.open(data, now)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return taken, nil
}

func (s *Server) fetchFile(ctx context.Context, progress Progress) ([]byte, error) {
	if s.scheme() == "https" {
		return s.fetchHTTPS(ctx, progress)
	}
	f, err := os.Open(s.URL)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readLimited(f, maxP7M)
}

// fetchHTTPS gets the file (RFC 6109 section 5.6). It follows no redirection:
// whoever moves the file tells its new address otherwise.
func (s *Server) fetchHTTPS(ctx context.Context, progress Progress) ([]byte, error) {
	config, err := s.tls("")
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{TLSClientConfig: config, Proxy: http.ProxyFromEnvironment, TLSHandshakeTimeout: dialTime}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL, nil)
	if err != nil {
		return nil, err
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", s.URL, response.Status)
	}
	data, err := readLimited(&counted{response.Body, 0, response.ContentLength, progress}, maxP7M)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.URL, err)
	}
	return data, nil
}

// counted tells of what is read.
type counted struct {
	io.Reader
	read, total int64
	progress    Progress // may be nil
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.read += int64(n)
	if c.progress != nil {
		c.progress(c.read, c.total)
	}
	return n, err
}

// recordAttributes are those of a record, as LDAP is asked for them (RFC 6109
// sections 4.5.1 to 4.5.7).
func recordAttributes() []string {
	return []string{"objectClass", "providerName", "providerUnit", "providerCertificateHash", "providerCertificate;binary",
		"mailReceipt", "LDIFLocationURL", "managedDomains"}
}

// pageSize is how many records a server gives at once.
const pageSize = 200

// searchRecords gives all records of providers. There is one filter, and nothing
// that comes from a message is ever in it: domains and certificates are looked for
// in memory.
func searchRecords(conn *ldap.Conn) ([]*ldap.Entry, error) {
	request := ldap.NewSearchRequest(baseDN, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases, 0, 0, false,
		"(objectClass=provider)", recordAttributes(), nil)
	result, err := conn.SearchWithPaging(request, pageSize)
	if err != nil {
		return nil, err
	}
	return result.Entries, nil
}

// fetchLDAP writes what an LDAP server has as LDIF, so that it is read and judged
// like every other.
func (s *Server) fetchLDAP(ctx context.Context) (*fetched, error) {
	conn, err := s.dial(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	entries, err := searchRecords(conn)
	if err != nil {
		return nil, err
	}
	if len(entries) == 0 {
		return nil, errors.New("the LDAP server has no record of a provider that this user may read")
	}
	slices.SortFunc(entries, byDN)
	file := &ldif.LDIF{Version: 1, Entries: []*ldif.Entry{{Entry: baseEntry()}}}
	for _, entry := range entries {
		// Escaped: the LDIF writer puts a dn down as it is.
		if dn, err := ldap.ParseDN(entry.DN); err == nil {
			entry.DN = dn.String()
		}
		file.Entries = append(file.Entries, &ldif.Entry{Entry: entry})
	}
	text, err := ldif.Marshal(file)
	if err != nil {
		return nil, err
	}
	return &fetched{ldif: []byte(text)}, nil
}
