package hsm

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
)

// Slot is a slot of a PKCS#11 module that has a token in it.
type Slot struct {
	Number               uint
	Label, Serial, Model string
	Sessions             uint // that the token allows at once; 0: it sets no bound, or does not say
	Chosen               bool // Token chooses it, and the login was good
	Keys                 []Key
	Certificates         []*x509.Certificate
}

// Key is a private key on a token. Without a login a token shows none.
type Key struct {
	Label    string
	ID       []byte
	Fits     bool // the label and the id are those that Token chooses
	material []byte
}

// Certifies tells whether the key is that of a certificate.
func (k Key) Certifies(c *x509.Certificate) bool {
	want := material(c.PublicKey)
	return len(want) > 0 && bytes.HasSuffix(k.material, want)
}

// material is what tells a public key from others, as tokens have it: the modulus of
// an RSA key, the point of an EC key.
func material(public crypto.PublicKey) []byte {
	switch key := public.(type) {
	case *rsa.PublicKey:
		return key.N.Bytes()
	case *ecdsa.PublicKey:
		point, err := key.Bytes()
		if err == nil {
			return point
		}
	}
	return nil
}

// Chains are the certificates of a file, as OpenFile and OpenToken read it: each chain
// begins with a signing certificate, the first with the one in use.
func Chains(certificateFile string) ([][]*x509.Certificate, error) {
	return readChains(certificateFile)
}

// List gives the slots of a token's module. It logs in to that token, with one try of
// its PIN; a token that none of them is gives the slots all the same. With ErrPIN
// nothing may be tried again.
func List(t Token) ([]Slot, error) {
	var pin PIN
	if t.PINFile != "" {
		var err error
		if pin, err = ReadPIN(t.PINFile); err != nil {
			return nil, err
		}
	}
	return list(t, pin)
}
