package directory

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
)

// maxRevocations bounds a file of revocation lists, in bytes.
const maxRevocations = 20 << 20

// readRevocations reads the revocation lists of all files. A file that is
// missing or bad is left out and told in the faults: the verification finds out
// that a list is missing.
func readRevocations(paths []string) (lists []*x509.RevocationList, faults []error) {
	for _, path := range paths {
		found, err := readRevocationFile(path)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		lists = append(lists, found...)
	}
	return lists, faults
}

func readRevocationFile(path string) ([]*x509.RevocationList, error) {
	data, err := readFile(path, maxRevocations)
	if err != nil {
		return nil, err
	}
	lists, err := parseRevocations(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return lists, nil
}

// parseRevocations reads one list in DER or any number in PEM.
func parseRevocations(data []byte) ([]*x509.RevocationList, error) {
	if !bytes.Contains(data, []byte("-----BEGIN")) {
		list, err := parseRevocation(data)
		if err != nil {
			return nil, err
		}
		return []*x509.RevocationList{list}, nil
	}
	var lists []*x509.RevocationList
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "X509 CRL" {
			return nil, fmt.Errorf("a %q is in it, not an X509 CRL", block.Type)
		}
		list, err := parseRevocation(block.Bytes)
		if err != nil {
			return nil, err
		}
		lists = append(lists, list)
	}
	if len(lists) == 0 {
		return nil, errors.New("no X509 CRL in it")
	}
	return lists, nil
}

// parseRevocation reads one list and refuses a delta list (RFC 5280 section 5.2.4): taken for a
// whole one it would call revoked certificates good.
func parseRevocation(der []byte) (*x509.RevocationList, error) {
	list, err := x509.ParseRevocationList(der)
	if err != nil {
		return nil, err
	}
	if len(list.Raw) != len(der) {
		return nil, errors.New("something follows the list: give several lists in PEM")
	}
	deltaIndicator := asn1.ObjectIdentifier{2, 5, 29, 27}
	for _, extension := range list.Extensions {
		if extension.Id.Equal(deltaIndicator) {
			return nil, errors.New("it is a delta list: give the whole one")
		}
	}
	return list, nil
}
