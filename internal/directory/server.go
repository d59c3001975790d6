package directory

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/go-ldap/ldap/v3"
)

// Server is a server that has the providers directory.
type Server struct {
	// URL is https://host/path, or ldaps://host, ldap://host or ldapi://socket
	// without any path: the directory is below o=postacert. Anything else is the path
	// of a file.
	URL string
	// User, a DN, and Password are for LDAP. Without them the bind is anonymous, and
	// over ldapi that of the process.
	User, Password string
	// CA, Certificate and Key are files in PEM: the authorities of the server, empty
	// for those of the system; what we show of ourselves, empty for nothing. They
	// are read anew for each connection.
	CA, Certificate, Key string
}

// The times that a server has, for the connection and for one answer.
const (
	dialTime   = 30 * time.Second
	answerTime = 5 * time.Minute
)

// scheme is that of the URL; empty for a file.
func (s *Server) scheme() string {
	scheme, _, found := strings.Cut(s.URL, "://")
	if !found {
		return ""
	}
	return scheme
}

func (s *Server) tls(host string) (*tls.Config, error) {
	config := &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12}
	if s.CA != "" {
		text, err := os.ReadFile(s.CA)
		if err != nil {
			return nil, err
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("%s: no certificate in PEM", s.CA)
		}
	}
	if s.Certificate != "" {
		pair, err := tls.LoadX509KeyPair(s.Certificate, s.Key)
		if err != nil {
			return nil, fmt.Errorf("%s and %s: %w", s.Certificate, s.Key, err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}

// dial connects to an LDAP server and binds. The connection ends with ctx, or when
// it is closed.
func (s *Server) dial(ctx context.Context) (*ldap.Conn, error) {
	host, err := s.host()
	if err != nil {
		return nil, err
	}
	config, err := s.tls(host)
	if err != nil {
		return nil, err
	}
	conn, err := ldap.DialURL(s.URL, ldap.DialWithTLSConfig(config), ldap.DialWithDialer(&net.Dialer{Timeout: dialTime}))
	if err != nil {
		return nil, err
	}
	context.AfterFunc(ctx, func() { conn.Close() })
	conn.SetTimeout(answerTime)
	if s.scheme() == "ldap" && (s.CA != "" || !isLoopback(host)) {
		err = conn.StartTLS(config)
	}
	if err == nil {
		err = s.bind(conn)
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

// host is the host of the URL; empty for a socket of this machine.
func (s *Server) host() (string, error) {
	if s.scheme() == "ldapi" { // whose path is escaped in a way that url.Parse refuses
		return "", nil
	}
	u, err := url.Parse(s.URL)
	if err != nil {
		return "", err
	}
	return u.Hostname(), nil
}

func (s *Server) bind(conn *ldap.Conn) error {
	switch {
	case s.User != "":
		return conn.Bind(s.User, s.Password)
	case s.scheme() == "ldapi":
		return conn.ExternalBind()
	}
	return nil
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
