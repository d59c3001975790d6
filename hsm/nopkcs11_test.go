//go:build !cgo || nopkcs11

package hsm

import (
	"log/slog"
	"strings"
	"testing"
)

func TestBuiltWithoutPKCS11(t *testing.T) {
	certificate := write(t, "cert.pem", rsaIdentity(t, 2048).certificate)
	_, err := OpenToken(certificate, Token{Module: "/usr/lib/hsm.so", Label: "alfa"}, slog.New(slog.DiscardHandler))
	if err == nil || !strings.Contains(err.Error(), "built without PKCS#11") {
		t.Errorf("OpenToken() error = %v, want one that says built without PKCS#11", err)
	}
}
