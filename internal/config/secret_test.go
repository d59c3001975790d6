package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func TestSecretNeverShows(t *testing.T) {
	const text = "0123456789abcdef0123456789abcdef"
	secret := NewSecret([]byte(text))
	type holder struct {
		Open   Secret
		hidden Secret
	}
	held := holder{secret, secret}
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "secret", secret, "held", held, "pointer", &secret)
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "secret", secret, "held", held, "pointer", &secret)
	encoded, err := json.Marshal(map[string]any{"secret": secret, "held": held})
	if err != nil {
		t.Fatal(err)
	}
	shown := log.String() + string(encoded)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
		if got := fmt.Sprintf(verb, secret); got != "***" {
			t.Errorf("Sprintf(%q, secret) = %q, want ***", verb, got)
		}
		shown += fmt.Sprintf(verb, held) + fmt.Sprintf(verb, &held) + fmt.Sprintf(verb, []Secret{secret})
	}
	for _, form := range []string{text, fmt.Sprintf("%x", text), fmt.Sprint([]byte(text))} {
		if strings.Contains(shown, form) {
			t.Errorf("the secret shows as %q in %s", form, shown)
		}
	}
	if got := string(secret.Reveal()); got != text {
		t.Errorf("Reveal() = %q, want %q", got, text)
	}
	if got := (Secret{}).Reveal(); got != nil {
		t.Errorf("Reveal() of the zero value = %q, want nil", got)
	}
}

func TestReadSecret(t *testing.T) {
	directory := install(t)
	provider := Provider{SecretFile: directory + "/secret"}
	secret, err := provider.ReadSecret()
	if want := strings.Repeat("s", 32); err != nil || string(secret.Reveal()) != want {
		t.Errorf("ReadSecret() = %q, %v, want %q", secret.Reveal(), err, want)
	}
}
