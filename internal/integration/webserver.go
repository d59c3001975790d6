package integration

import (
	"net"
	"net/http"
	"time"
)

// webServer is a web server in this process, on loopback. A nil one is none.
type webServer struct {
	listener net.Listener
	server   *http.Server
}

func startWebServer(handler http.Handler) (*webServer, error) {
	listener, err := net.Listen("tcp", address(0))
	if err != nil {
		return nil, err
	}
	s := &webServer{listener, &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}}
	go func() { _ = s.server.Serve(listener) }() // until it is closed
	return s, nil
}

// url is the address of a path.
func (s *webServer) url(path string) string { return "http://" + s.listener.Addr().String() + path }

// Close stops the server.
func (s *webServer) Close() error {
	if s == nil {
		return nil
	}
	return s.server.Close()
}
