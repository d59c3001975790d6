package config

import (
	"bytes"
	"fmt"
	"os"
)

// minSecret is the least length of the provider's secret, in bytes: that of the
// HMAC-SHA-256 keys that are made of it.
const minSecret = 32

// Secret is bytes that must not be seen. However it is printed, logged or
// marshalled, what shows is ***.
type Secret struct {
	// A function and not bytes: fmt does not call the Format of an unexported
	// field, and would print what it finds there.
	reveal func() []byte
}

// NewSecret hides bytes.
func NewSecret(secret []byte) Secret { return Secret{func() []byte { return secret }} }

// Reveal is the bytes themselves; nil for the zero value.
func (s Secret) Reveal() []byte {
	if s.reveal == nil {
		return nil
	}
	return s.reveal()
}

// Format prints *** for every verb.
func (Secret) Format(f fmt.State, _ rune) { fmt.Fprint(f, "***") }

// MarshalText gives ***: encoding/json and log/slog use it.
func (Secret) MarshalText() ([]byte, error) { return []byte("***"), nil }

// readLine reads a private file that holds one secret and nothing else.
func readLine(path string) (Secret, error) {
	if err := checkPrivate(path); err != nil {
		return Secret{}, err
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return Secret{}, err
	}
	line := bytes.TrimRight(content, "\r\n")
	if len(line) == 0 || bytes.ContainsAny(line, "\r\n\x00") {
		return Secret{}, fmt.Errorf("%s must hold the password alone, on one line", path)
	}
	return NewSecret(line), nil
}

// ReadSecret reads the provider's secret; white space around it does not count.
// A file that is open to other users, or too short, is an error.
func (p *Provider) ReadSecret() (Secret, error) {
	if err := checkPrivate(p.SecretFile); err != nil {
		return Secret{}, err
	}
	content, err := os.ReadFile(p.SecretFile)
	if err != nil {
		return Secret{}, err
	}
	secret := bytes.TrimSpace(content)
	if len(secret) < minSecret {
		return Secret{}, fmt.Errorf("%s holds %d bytes, at least %d are needed: make it with: openssl rand -hex 32 > %s",
			p.SecretFile, len(secret), minSecret, p.SecretFile)
	}
	return NewSecret(secret), nil
}
