package point

import (
	"bytes"
	"testing"
)

func TestDerive(t *testing.T) {
	secret := Secret("secret with 32 bytes or even more")
	derived := secret.Derive("state")
	if len(derived) != 32 || !bytes.Equal(derived, secret.Derive("state")) {
		t.Errorf("Derive = %x, want the same 32 bytes each time", derived)
	}
	for name, other := range map[string]Secret{
		"itself": secret, "another use": secret.Derive("other"), "another secret": Secret("another").Derive("state"),
	} {
		if bytes.Equal(derived, other) {
			t.Errorf("Derive gives the same as for %s", name)
		}
	}
}
