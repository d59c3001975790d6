package directory

import (
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"math/big"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestReadRevocations(t *testing.T) {
	b := newBench(t)
	sub, other := b.list(b.pki.sub), b.list(b.pki.other)
	toPEM := func(kind, der string) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: []byte(der)}))
	}
	tests := []struct {
		name, text string
		lists      int
		fault      string // empty: none
	}{
		{"DER", sub, 1, ""},
		{"PEM", toPEM("X509 CRL", sub), 1, ""},
		{"two in PEM, with text between", toPEM("X509 CRL", sub) + "other:\n" + toPEM("X509 CRL", other), 2, ""},
		{"expired", b.expiredList(), 1, ""},
		{"empty", "", 0, "x.crl"},
		{"cut short", sub[:len(sub)-1], 0, "x.crl"},
		{"two in DER", sub + other, 0, "something follows the list"},
		{"not a list", toPEM("CERTIFICATE", string(b.pki.alfa.Raw)), 0, `"CERTIFICATE"`},
		{"broken PEM", "-----BEGIN X509 CRL-----\n", 0, "no X509 CRL in it"},
		{"garbage in PEM", toPEM("X509 CRL", "x"), 0, "x.crl"},
		{"delta", b.deltaList(), 0, "delta list"},
		{"too large", strings.Repeat("x", maxRevocations+1), 0, "larger than 20 MiB"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			good, path := b.config.Revocations[0], filepath.Join(t.TempDir(), "x.crl")
			b.put(path, test.text)
			lists, faults := readRevocations([]string{path, good})
			if len(lists) != test.lists+1 {
				t.Errorf("%d lists, want %d and the good one", len(lists), test.lists)
			}
			if test.fault == "" && len(faults) > 0 ||
				test.fault != "" && (len(faults) != 1 || !strings.Contains(faults[0].Error(), test.fault) ||
					!strings.Contains(faults[0].Error(), path)) {
				t.Errorf("faults %v, want %q with the file's name", faults, test.fault)
			}
		})
	}
}

func (b *bench) expiredList() string {
	b.Helper()
	der, err := b.pki.sub.Revoke(b.pki.now.AddDate(0, 0, -1))
	b.must(err)
	return string(der)
}

func (b *bench) deltaList() string {
	b.Helper()
	base, err := asn1.Marshal(1)
	b.must(err)
	der, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{
		Number: big.NewInt(2), ThisUpdate: b.pki.now, NextUpdate: b.pki.now.Add(time.Hour),
		ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 27}, Critical: true, Value: base}},
	}, b.pki.sub.Certificate(), b.pki.sub.Key)
	b.must(err)
	return string(der)
}
