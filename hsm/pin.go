package hsm

import (
	"errors"
	"fmt"
	"strings"
)

// PIN is the secret that opens a token. However it is printed, logged or
// marshalled, what shows is ***.
type PIN struct {
	// A function and not a string: fmt does not call the Format of an
	// unexported field, and would print a string that it finds there.
	reveal func() string
}

// NewPIN hides a PIN.
func NewPIN(pin string) PIN { return PIN{func() string { return pin }} }

// ReadPIN reads a PIN from a file that other users must not reach; white space
// around it does not count. An empty file is an error.
func ReadPIN(path string) (PIN, error) {
	data, err := readPrivate(path)
	if err != nil {
		return PIN{}, fmt.Errorf("reading PIN file: %w", err)
	}
	pin := strings.TrimSpace(string(data))
	if pin == "" {
		return PIN{}, errors.New("PIN file " + path + " is empty: write the token's user PIN into it")
	}
	return NewPIN(pin), nil
}

// Reveal is the PIN itself; empty for the zero value.
func (p PIN) Reveal() string {
	if p.reveal == nil {
		return ""
	}
	return p.reveal()
}

// Format prints *** for every verb.
func (PIN) Format(f fmt.State, _ rune) { fmt.Fprint(f, "***") }

// MarshalText gives ***: encoding/json and log/slog use it.
func (PIN) MarshalText() ([]byte, error) { return []byte("***"), nil }
