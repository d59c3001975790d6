package directory

import (
	"bytes"
	"context"
	"encoding/asn1"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"
)

// ldapServer answers every search with one entry that has one attribute.
type ldapServer struct {
	*testing.T
	name  string // of the attribute
	value []byte
	asked chan string // the base of each search
}

// start gives the address of the server.
func (s *ldapServer) start() string {
	s.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { l.Close() })
	s.asked = make(chan string, 1)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go s.serve(c)
		}
	}()
	return l.Addr().String()
}

// serve answers one request, RFC 4511 section 4.5.
func (s *ldapServer) serve(c net.Conn) {
	defer c.Close()
	buffer := make([]byte, 4096)
	n, err := c.Read(buffer)
	if err != nil {
		return // it found its own fault first
	}
	var request struct {
		ID int
		Op asn1.RawValue
	}
	if _, err := asn1.Unmarshal(buffer[:n], &request); err != nil {
		s.Errorf("a request that cannot be read: %v", err)
		return
	}
	var base []byte
	if _, err := asn1.Unmarshal(request.Op.Bytes, &base); err != nil {
		s.Error(err)
	}
	s.asked <- string(base)
	id := marshal(s.T, request.ID)
	attribute := sequence(s.T, 16, marshal(s.T, []byte(s.name)), sequence(s.T, 17, marshal(s.T, s.value)))
	entry := operation(s.T, 4, marshal(s.T, base), sequence(s.T, 16, attribute))
	done := operation(s.T, 5, marshal(s.T, asn1.Enumerated(0)), marshal(s.T, []byte{}), marshal(s.T, []byte{}))
	_, _ = c.Write(sequence(s.T, 16, id, entry))
	_, _ = c.Write(sequence(s.T, 16, id, done))
	_, _ = c.Read(buffer) // until the client goes
}

func marshal(t *testing.T, value any) []byte {
	t.Helper()
	der, err := asn1.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func sequence(t *testing.T, tag int, contents ...[]byte) []byte {
	return marshal(t, asn1.RawValue{Tag: tag, IsCompound: true, Bytes: bytes.Join(contents, nil)})
}

func operation(t *testing.T, tag int, contents ...[]byte) []byte {
	return marshal(t, asn1.RawValue{Class: asn1.ClassApplication, Tag: tag, IsCompound: true, Bytes: bytes.Join(contents, nil)})
}

func TestFetchLDAP(t *testing.T) {
	b := newBench(t)
	list := b.list(b.pki.sub)
	const named = "certificateRevocationList;binary"
	for _, test := range []struct {
		name, path, attribute string
		value                 []byte
		fault                 string // empty: it is fetched
	}{
		{"as authorities write it", "cn=PEC%20CA,c=IT?certificateRevocationList;binary", named, []byte(list), ""},
		{"without attribute", "cn=PEC%20CA,c=IT", named, []byte(list), ""},
		{"scope and filter", "cn=PEC%20CA,c=IT?certificateRevocationList?base?(objectClass=cRLDistributionPoint)", named, []byte(list), ""},
		{"answer without the option", "cn=PEC%20CA,c=IT?certificateRevocationList;binary", "CertificateRevocationList", []byte(list), ""},
		{"another attribute", "cn=PEC%20CA,c=IT", "cn", []byte(list), `"cn=PEC CA,c=IT" has no certificateRevocationList`},
		{"no scope", "cn=PEC%20CA,c=IT??near", named, nil, "no scope"},
		{"no filter", "cn=PEC%20CA,c=IT??base?((", named, nil, "ilter"},
		{"SG-21 25 MB", "cn=PEC%20CA,c=IT", named, make([]byte, 25e6), "larger than 20 MiB"},
	} {
		t.Run(test.name, func(t *testing.T) {
			server := &ldapServer{T: t, name: test.attribute, value: test.value}
			got, err := fetch(t.Context(), "ldap://"+server.start()+"/"+test.path)
			if test.fault != "" {
				if err == nil || !strings.Contains(err.Error(), test.fault) {
					t.Errorf("error %v, want %q", err, test.fault)
				}
				return
			}
			if err != nil || string(got) != list {
				t.Errorf("got %d bytes, %v, want the list", len(got), err)
			}
			if base := <-server.asked; base != "cn=PEC CA,c=IT" {
				t.Errorf("asked for %q", base)
			}
		})
	}
}

// A server that hangs keeps nobody longer than allowed.
func TestFetchLDAPHangs(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := fetch(ctx, fmt.Sprintf("ldap://%s/cn=x", l.Addr())); err == nil {
		t.Error("no error")
	}
}
