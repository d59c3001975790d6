package hsm

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
)

// TestPINNeverShows: OP-04, however it is printed or marshalled.
func TestPINNeverShows(t *testing.T) {
	const secret = "pin-93817"
	pin := NewPIN(secret)
	type holder struct {
		Open   PIN
		hidden PIN
	}
	held := holder{pin, pin}
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "pin", pin, "held", held, "pointer", &pin)
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "pin", pin, "held", held, "pointer", &pin)
	encoded, err := json.Marshal(map[string]any{"pin": pin, "held": held})
	if err != nil {
		t.Fatal(err)
	}
	shown := log.String() + string(encoded)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t"} {
		if got := fmt.Sprintf(verb, pin); got != "***" {
			t.Errorf("Sprintf(%q, pin) = %q, want ***", verb, got)
		}
		shown += fmt.Sprintf(verb, held) + fmt.Sprintf(verb, &held) + fmt.Sprintf(verb, []PIN{pin})
	}
	if strings.Contains(shown, secret) || strings.Contains(shown, fmt.Sprintf("%x", secret)) {
		t.Errorf("the PIN shows in %s", shown)
	}
	if got := strings.Count(log.String(), "***"); got < 4 {
		t.Errorf("log shows *** %d times, want at least 4: %s", got, log.String())
	}
	if got := pin.Reveal(); got != secret {
		t.Errorf("Reveal() = %q, want %q", got, secret)
	}
}

func TestReadPIN(t *testing.T) {
	path := write(t, "pin", []byte("  1234\r\n"))
	pin, err := ReadPIN(path)
	if err != nil || pin.Reveal() != "1234" {
		t.Errorf("ReadPIN() = %q, %v, want 1234 without an error", pin.Reveal(), err)
	}
	if err := os.Chmod(path, 0o604); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadPIN(path); err == nil || !strings.Contains(err.Error(), "chmod 0600") {
		t.Errorf("ReadPIN of a file open to all: error = %v, want one with the chmod", err)
	}
	if _, err := ReadPIN(write(t, "empty", []byte(" \n"))); err == nil || !strings.Contains(err.Error(), "is empty") {
		t.Errorf("ReadPIN of an empty file: error = %v, want one that says so", err)
	}
	if _, err := ReadPIN(path + ".missing"); err == nil {
		t.Error("ReadPIN of a missing file: no error")
	}
}
