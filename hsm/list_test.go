//go:build cgo && !nopkcs11

package hsm

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"strings"
	"testing"
)

// TestSoftHSMList: what the module has, and which key the configuration chooses.
func TestSoftHSMList(t *testing.T) {
	i, other := rsaIdentity(t, 2048), rsaIdentity(t, 2048)
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	ec := newIdentity(t, curve, err)
	hsm := newSoftHSM(t)
	hsm.initToken()
	hsm.importKey(other, "0a")
	hsm.importKey(i, "0b")
	hsm.importKey(ec, "0c")
	token := Token{Module: hsm.module, Label: "alfa", KeyLabel: "pec", KeyID: []byte{0x0b}, PINFile: write(t, "pin", []byte("1234"))}
	slots, err := List(token)
	if err != nil {
		t.Fatal(err)
	}
	if len(slots) != 2 || !slots[0].Chosen || slots[0].Label != "alfa" || slots[1].Chosen {
		t.Fatalf("List() = %+v, want the token and the empty slot of SoftHSM", slots)
	}
	for _, k := range slots[0].Keys {
		wanted, fits := map[string]identity{"\x0a": other, "\x0b": i, "\x0c": ec}[string(k.ID)], string(k.ID) == "\x0b"
		for _, of := range []identity{i, other, ec} {
			if got, want := k.Certifies(certificateOf(t, of)), of.key == wanted.key; got != want {
				t.Errorf("key %x belongs to a certificate: %v, want %v", k.ID, got, want)
			}
		}
		if k.Label != "pec" || k.Fits != fits {
			t.Errorf("key %x: label %q, chosen %v, want pec and %v", k.ID, k.Label, k.Fits, fits)
		}
	}
	if len(slots[0].Keys) != 3 {
		t.Errorf("%d keys, want 3", len(slots[0].Keys))
	}
	token.PINFile = write(t, "pin", []byte("4321"))
	if _, err := List(token); !errors.Is(err, ErrPIN) {
		t.Errorf("List() with a wrong PIN: error = %v, want ErrPIN", err)
	}
	token.Module = "/nowhere/libhsm.so"
	if _, err := List(token); err == nil || !strings.Contains(err.Error(), "/nowhere/libhsm.so: cannot open shared object file") {
		t.Errorf("List() without the module: error = %v, want one that says so", err)
	}
}

func certificateOf(t *testing.T, i identity) *x509.Certificate {
	t.Helper()
	all, err := parseCertificates(i.certificate)
	if err != nil {
		t.Fatal(err)
	}
	return all[0]
}
