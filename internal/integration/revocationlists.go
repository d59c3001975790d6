package integration

import (
	"crypto/x509"
	"net/http"
	"strings"
	"sync"
	"time"
)

// revocationServer is the web server that the providers' certificates name for
// the revocation lists of their authorities. Nobody asks it but a pec-milter that
// is told to fetch lists.
type revocationServer struct {
	*webServer

	mu    sync.Mutex
	lists map[string][]byte // by path; none: every connection is cut
}

func startRevocationServer() (s *revocationServer, err error) {
	s = &revocationServer{}
	s.webServer, err = startWebServer(s)
	return s, err
}

// Close stops the server. nil: there is none.
func (s *revocationServer) Close() error {
	if s == nil {
		return nil
	}
	return s.webServer.Close()
}

// The paths of the lists.
const (
	rootListPath   = "/root.crl"
	issuerListPath = "/issuer.crl"
)

func (s *revocationServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	lists := s.lists
	s.mu.Unlock()
	list, found := lists[r.URL.Path]
	switch {
	case lists == nil:
		panic(http.ErrAbortHandler)
	case !found:
		http.NotFound(w, r)
	default:
		w.Header().Set("Content-Type", "application/pkix-crl")
		_, _ = w.Write(list)
	}
}

// publish serves these lists from now on; nil: the server does not answer.
func (s *revocationServer) publish(lists map[string][]byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lists = lists
}

// PublishRevocations serves new lists of both authorities, valid until next, with
// nothing on them but what is given.
func (w *World) PublishRevocations(next time.Time, revoked ...*x509.Certificate) error {
	ofRoot, ofIssuer, err := w.authorities.revocations(next, revoked...)
	if err != nil {
		return err
	}
	w.lists.publish(map[string][]byte{rootListPath: ofRoot, issuerListPath: ofIssuer})
	return nil
}

// CutRevocations has the server of the lists answer nobody.
func (w *World) CutRevocations() { w.lists.publish(nil) }

// FetchRevocations has the provider's pec-milter fetch its revocation lists, every
// second, in place of reading them from a file; or read the file again. It is
// started anew.
func (p *Provider) FetchRevocations(fetch bool) error {
	conf := p.daemonConf()
	if err := writeConf(p.ConfigFile(), "pec-milter.toml", conf); err != nil {
		return err
	}
	if fetch {
		if err := makeDirectories(p.Dir, "pec-milter/lists"); err != nil {
			return err
		}
		file := `revocations = ["` + conf.Trust + `/revocations.pem"]`
		fetched := "revocation_cache = \"lists\"\nrevocation_interval = \"1s\""
		if err := p.editConfig(func(text string) string { return strings.Replace(text, file, fetched, 1) }); err != nil {
			return err
		}
	}
	if p.backend != nil {
		if err := p.editConfig(func(text string) string { return text + p.backend.Settings() }); err != nil {
			return err
		}
	}
	if err := p.StopDaemon(); err != nil {
		return err
	}
	return p.StartDaemon()
}
