package directory

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pec-milter/pec-milter/internal/testpki"
	"github.com/pec-milter/pec-milter/internal/testslapd"
	"github.com/pec-milter/pec-milter/pec"
)

// slapd starts a real OpenLDAP with contrib/openldap.
func slapd(t *testing.T, tls *testslapd.TLS) *testslapd.Server {
	t.Helper()
	if !testslapd.Installed() {
		if os.Getenv("CI") != "" {
			t.Fatal("slapd or ldapadd is not installed")
		}
		t.Skip("slapd or ldapadd is not installed: contrib/debian/setup.sh does it")
	}
	server, err := testslapd.Start("../../contrib", tls)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	return server
}

func writer(s *testslapd.Server) *Server {
	return &Server{URL: s.URL, User: testslapd.User, Password: testslapd.Password}
}

// read reads the directory back as a source that anybody may read.
func readBack(t *testing.T, from Server) *Directory {
	t.Helper()
	taken, err := from.fetch(t.Context(), "", time.Now(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return mustRead(t, string(taken.ldif))
}

func wantSame(t *testing.T, got *Directory, want []*pec.Provider) {
	t.Helper()
	if changes := Compare(newDirectory(want), got); len(changes) > 0 {
		t.Errorf("what is in LDAP differs: %+v", changes)
	}
	for _, p := range want {
		for _, domain := range p.Domains {
			if found := got.ByDomain(strings.ToUpper(domain)); found == nil || found.Unit != p.Unit {
				t.Errorf("ByDomain(%q) = %+v, want that of %s %s", strings.ToUpper(domain), found, p.Name, p.Unit)
			}
		}
		for _, c := range p.Certificates {
			if len(got.ByCertificateHash(strings.ToUpper(pec.CertificateHash(c.Raw)))) == 0 {
				t.Errorf("a certificate of %s is not found", p.Name)
			}
		}
	}
}

// TestMirror: secondary environments, several certificates and names of all kinds
// go into OpenLDAP and come back; only what differs is written.
func TestMirror(t *testing.T) {
	p, server := testPKI(t), slapd(t, nil)
	certificate := []*x509.Certificate{p.gamma}
	odd := &pec.Provider{Name: `Poste, "Certificate" + C. <S.p.A.>; \x=#`, Certificates: certificate, MailReceipt: "r@odd.example", Domains: []string{"odd.example"}}
	accents := &pec.Provider{Name: "Società Città S.r.l. – più", Certificates: certificate, MailReceipt: "r@accents.example", Domains: []string{"accents.example"}}
	without := &pec.Provider{Name: "Without", MailReceipt: "r@without.example", Domains: []string{"without.example"}}
	orphan := &pec.Provider{Name: "Orphan", Unit: "U", Certificates: certificate, MailReceipt: "r@orphan.example", Domains: []string{"orphan.example"}}
	changed := p.providers()
	changed[0].Domains = []string{"alfa.example", "new.alfa.example"}
	changed[0].LocationURL = ""
	changed[2].Certificates = changed[2].Certificates[1:]
	tests := []struct {
		name       string
		write      []*pec.Provider
		want       Mirrored
		unwritable int // of the last ones
	}{
		{"first", p.providers(), Mirrored{Added: 3}, 0},
		{"again", p.providers(), Mirrored{}, 0},
		{"odd names", append(p.providers(), odd, accents), Mirrored{Added: 2}, 0},
		{"odd names again", append(p.providers(), odd, accents), Mirrored{}, 0},
		{"records changed", changed, Mirrored{Changed: 2, Removed: 2}, 0},
		{"no certificate, no main environment", append(p.providers(), without, orphan), Mirrored{Changed: 2, LeftOut: 2}, 2},
		{"provider with its environment gone", p.providers()[2:], Mirrored{Removed: 2}, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := writer(server).write(t.Context(), test.write)
			if err != nil || *got != test.want {
				t.Fatalf("write = %+v, %v; want %+v", got, err, test.want)
			}
			wantSame(t, readBack(t, Server{URL: server.URL}), test.write[:len(test.write)-test.unwritable])
		})
	}
}

// TestMirrorOfManyRecords: more records than a server gives at once.
func TestMirrorOfManyRecords(t *testing.T) {
	p, server := testPKI(t), slapd(t, nil)
	var many []*pec.Provider
	for i := range 3*pageSize + 7 {
		many = append(many, &pec.Provider{Name: fmt.Sprintf("Gestore %d", i), Certificates: []*x509.Certificate{p.beta},
			MailReceipt: fmt.Sprintf("r@d%d.example", i), Domains: []string{fmt.Sprintf("d%d.example", i)}})
	}
	if got, err := writer(server).write(t.Context(), many); err != nil || got.Added != len(many) {
		t.Fatalf("write = %+v, %v; want all added", got, err)
	}
	wantSame(t, readBack(t, Server{URL: server.URL}), many)
}

// TestLDAPByTLS: LDAPS and StartTLS, verified; and who may write.
func TestLDAPByTLS(t *testing.T) {
	dir := t.TempDir()
	source := testpki.Source{Now: time.Now(), Rand: rand.Reader}
	root, err := testpki.NewRoot(source, "LDAP Root")
	if err != nil {
		t.Fatal(err)
	}
	credential, err := root.NewServer([]string{"localhost"})
	if err != nil {
		t.Fatal(err)
	}
	file := func(name string) string { return filepath.Join(dir, name) }
	if err := credential.WriteFiles(file("server.pem"), file("server.key")); err != nil {
		t.Fatal(err)
	}
	if err := testpki.WriteCertificates(file("ca.pem"), root.Certificate()); err != nil {
		t.Fatal(err)
	}
	if err := testpki.WriteCertificates(file("other.pem"), testPKI(t).root.Certificate()); err != nil {
		t.Fatal(err)
	}
	server := slapd(t, &testslapd.TLS{CA: file("ca.pem"), Certificate: file("server.pem"), Key: file("server.key")})
	if _, err := writer(server).write(t.Context(), testPKI(t).providers()); err != nil {
		t.Fatal(err)
	}
	host := func(url string) string { return strings.Replace(url, "127.0.0.1", "localhost", 1) }
	wrongHost := strings.Replace(server.SecureURL, "127.0.0.1", "127.0.0.2", 1)
	tests := []struct {
		name string
		from Server
		want string // in the error; empty: none
	}{
		{"LDAPS", Server{URL: host(server.SecureURL), CA: file("ca.pem")}, ""},
		{"StartTLS", Server{URL: host(server.URL), CA: file("ca.pem")}, ""},
		{"socket", Server{URL: server.SocketURL}, ""},
		{"with password", Server{URL: host(server.SecureURL), CA: file("ca.pem"), User: testslapd.User, Password: testslapd.Password}, ""},
		{"wrong password", Server{URL: host(server.SecureURL), CA: file("ca.pem"), User: testslapd.User, Password: "x"}, "Invalid Credentials"},
		{"LDAPS, another authority", Server{URL: host(server.SecureURL), CA: file("other.pem")}, "certificate"},
		{"StartTLS, another authority", Server{URL: host(server.URL), CA: file("other.pem")}, "certificate"},
		{"nobody there", Server{URL: wrongHost, CA: file("ca.pem")}, "connection refused"},
		{"CA file missing", Server{URL: host(server.URL), CA: file("none.pem")}, "no such file"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			taken, err := test.from.fetch(t.Context(), "", time.Now(), nil)
			if test.want == "" && (err != nil || taken.signer != "") {
				t.Errorf("fetch: %v, signer %v; want a directory that nobody has signed", err, taken)
			}
			if test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("fetch: %v, want %q", err, test.want)
			}
		})
	}
	if _, err := (&Server{URL: server.URL}).write(t.Context(), nil); err == nil {
		t.Error("somebody without a password may write")
	}
}

// A server that does not answer ends with the context.
func TestLDAPEndsWithContext(t *testing.T) {
	silent := listenSilently(t)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := (&Server{URL: "ldap://" + silent, User: "cn=x", Password: "y"}).fetch(ctx, "", time.Now(), nil); err == nil {
		t.Error("no error from a server that says nothing")
	}
}
