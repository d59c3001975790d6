//go:build !cgo || nopkcs11

package hsm

import (
	"crypto"
	"errors"
)

func openPKCS11(Token, PIN, crypto.PublicKey) (session, error) {
	return nil, errors.New("built without PKCS#11: build with cgo and without the tag nopkcs11, or use a key file")
}
