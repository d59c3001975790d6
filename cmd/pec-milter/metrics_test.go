package main

import (
	"context"
	"io"
	"net"
	"net/http"

	"github.com/rogpeppe/go-internal/testscript"
)

// scrape prints a page that is served by HTTP on a unix socket, as Prometheus
// reads it: scrape SOCKET PATH. With ! another answer than 200 is wanted.
func scrape(ts *testscript.TestScript, neg bool, args []string) {
	client := http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", ts.MkAbs(args[0]))
		},
		DisableKeepAlives: true,
	}}
	answer, err := client.Get("http://localhost" + args[1])
	ts.Check(err)
	defer answer.Body.Close()
	_, err = io.Copy(ts.Stdout(), answer.Body)
	ts.Check(err)
	if good := answer.StatusCode == http.StatusOK; good == neg {
		ts.Fatalf("%s: %s", args[1], answer.Status)
	}
}
