package directory

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"
)

// fetchTime bounds the fetching of one revocation list.
const fetchTime = time.Minute

// checkURL refuses what nobody may be sent to fetch: only web and directory
// servers on a host that is named (SG-22).
func checkURL(address string) (*url.URL, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, err
	}
	if !slices.Contains([]string{"http", "https", "ldap", "ldaps"}, u.Scheme) {
		return nil, fmt.Errorf("%q is no scheme to fetch with: only http, https, ldap and ldaps are", u.Scheme)
	}
	if u.Hostname() == "" {
		return nil, errors.New("it names no host")
	}
	return u, nil
}

// fetch gets at most maxRevocations bytes from a URL.
func fetch(ctx context.Context, address string) ([]byte, error) {
	u, err := checkURL(address)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, fetchTime)
	defer cancel()
	if u.Scheme == "ldap" || u.Scheme == "ldaps" {
		return fetchLDAP(ctx, u)
	}
	return fetchHTTP(ctx, u)
}

func fetchHTTP(ctx context.Context, u *url.URL) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, err
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.DisableKeepAlives = true // the next time is in an hour
	client := &http.Client{Transport: transport, CheckRedirect: checkRedirect}
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the server answers %s", response.Status)
	}
	return readLimited(response.Body, maxRevocations)
}

// maxRedirects is how often a server may send us on.
const maxRedirects = 3

func checkRedirect(request *http.Request, via []*http.Request) error {
	if len(via) > maxRedirects {
		return fmt.Errorf("more than %d redirections", maxRedirects)
	}
	_, err := checkURL(request.URL.String())
	return err
}
