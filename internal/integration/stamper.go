package integration

import (
	"crypto/rand"
	"net"
	"net/http"
	"path/filepath"
	"time"

	"github.com/pec-milter/pec-milter/internal/testpki"
	"github.com/pec-milter/pec-milter/internal/testtsa"
)

// stamper is the web server of the time-stamping authority, in this process. A nil
// one is none.
type stamper struct {
	listener net.Listener
	server   *http.Server
}

// startStamper starts it, and writes its authority to tsa.pem in a directory.
func startStamper(dir string) (*stamper, error) {
	authority, err := testtsa.New(time.Now, rand.Reader)
	if err != nil {
		return nil, err
	}
	if err := testpki.WriteCertificates(filepath.Join(dir, "tsa.pem"), authority.Root); err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", address(0))
	if err != nil {
		return nil, err
	}
	s := &stamper{listener, &http.Server{Handler: authority, ReadHeaderTimeout: time.Minute}}
	go func() { _ = s.server.Serve(listener) }() // until it is closed
	return s, nil
}

func (s *stamper) url() string {
	if s == nil {
		return ""
	}
	return "http://" + s.listener.Addr().String() + "/"
}

// Close stops the server.
func (s *stamper) Close() error {
	if s == nil {
		return nil
	}
	return s.server.Close()
}
