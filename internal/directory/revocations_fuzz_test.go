package directory

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"testing"
)

// FuzzRevocations (SG-21): whatever a server sends, what is taken is one whole
// list of the right authority, byte for byte one that it signed.
func FuzzRevocations(f *testing.F) {
	pki := testPKI(f)
	var genuine [][]byte
	for _, revoked := range [][]*x509.Certificate{nil, {pki.alfa}} {
		der, err := pki.sub.Revoke(pki.now.AddDate(0, 0, 1), revoked...)
		if err != nil {
			f.Fatal(err)
		}
		genuine = append(genuine, der)
		f.Add(der)
		f.Add(pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der}))
		f.Add(der[:len(der)/2])
	}
	f.Add([]byte{})
	f.Add([]byte("-----BEGIN X509 CRL-----\n-----END X509 CRL-----\n"))
	issuers := []string{string(pki.sub.Certificate().RawSubject)}
	authorities := []*x509.Certificate{pki.root.Certificate(), pki.sub.Certificate()}
	f.Fuzz(func(t *testing.T, data []byte) {
		list, err := readFetched(data, issuers, authorities)
		if (list == nil) == (err == nil) {
			t.Fatalf("got %v and %v, want one of them", list, err)
		}
		if err != nil {
			return
		}
		for _, der := range genuine {
			if bytes.Equal(list.Raw, der) {
				return
			}
		}
		t.Errorf("a list was taken that the authority did not sign: %x", list.Raw)
	})
}
