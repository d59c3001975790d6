package hsm

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
)

// findInFile is the key of a PEM file that belongs to a public one. It may hold
// several: while the certificate is renewed, that of the old one stays.
func findInFile(path string, public crypto.PublicKey) (crypto.Signer, error) {
	data, err := readKeyFile(path)
	if err != nil {
		return nil, err
	}
	keys, err := parseKeys(data)
	if err != nil {
		return nil, fmt.Errorf("key file %s: %w", path, err)
	}
	for _, key := range keys {
		if sameKey(key.Public(), public) {
			return key, nil
		}
	}
	return nil, fmt.Errorf("key file %s does not have its key", path)
}

func readKeyFile(path string) ([]byte, error) {
	data, err := readPrivate(path)
	if err != nil {
		return nil, fmt.Errorf("reading key file: %w", err)
	}
	return data, nil
}

// parseKeys reads all private keys, at least one.
func parseKeys(data []byte) (keys []crypto.Signer, err error) {
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		key, err := parseKey(block)
		if err == nil && key != nil {
			err = checkPublic(key.Public())
		}
		if err != nil {
			return nil, err
		}
		if key != nil {
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 {
		return nil, errors.New("no private key in it: it must be PEM, PKCS#8 or PKCS#1")
	}
	return keys, nil
}

// parseKey reads a private key; nil for what is something else, as the parameters
// of a curve.
func parseKey(block *pem.Block) (crypto.Signer, error) {
	if block.Type == "ENCRYPTED PRIVATE KEY" || block.Headers["DEK-Info"] != "" {
		return nil, errors.New("the key is encrypted: decrypt it with openssl pkey, or put it on a token")
	}
	switch block.Type {
	case "PRIVATE KEY":
		return parsePKCS8(block.Bytes)
	case "RSA PRIVATE KEY":
		return x509.ParsePKCS1PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		return x509.ParseECPrivateKey(block.Bytes)
	}
	return nil, nil
}

func parsePKCS8(der []byte) (crypto.Signer, error) {
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, err
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("a key of type %T cannot sign", key)
	}
	return signer, nil
}

// readPrivate reads a file that other users of the machine must not reach. The
// group may: it is how a service user gets what root owns.
func readPrivate(path string) (data []byte, err error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if mode := info.Mode().Perm(); mode&0o007 != 0 {
		return nil, fmt.Errorf("%s is open to every user of this machine (mode %04o): chmod %04o %s",
			path, mode, mode&^0o007, path)
	}
	return io.ReadAll(file)
}
