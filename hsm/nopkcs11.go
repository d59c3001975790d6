//go:build !cgo || nopkcs11

package hsm

import "errors"

// WithPKCS11 tells whether this build can use tokens.
const WithPKCS11 = false

func openPKCS11(Token, PIN) (session, error) {
	return nil, errors.New("built without PKCS#11: build with cgo and without the tag nopkcs11, or use a key file")
}

func list(t Token, pin PIN) ([]Slot, error) {
	_, err := openPKCS11(t, pin)
	return nil, err
}
