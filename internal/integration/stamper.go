package integration

import (
	"crypto/rand"
	"path/filepath"
	"time"

	"github.com/pec-milter/pec-milter/internal/testpki"
	"github.com/pec-milter/pec-milter/internal/testtsa"
)

// startStamper starts a time-stamping authority, and writes what its stamps lead to
// into tsa.pem of a directory.
func startStamper(dir string) (*webServer, error) {
	authority, err := testtsa.New(time.Now, rand.Reader)
	if err != nil {
		return nil, err
	}
	if err := testpki.WriteCertificates(filepath.Join(dir, "tsa.pem"), authority.Root); err != nil {
		return nil, err
	}
	return startWebServer(authority)
}

// stamperURL is where the authority is; empty: there is none.
func (w *World) stamperURL() string {
	if w.stamper == nil {
		return ""
	}
	return w.stamper.url("/")
}
