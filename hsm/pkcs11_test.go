//go:build cgo && !nopkcs11

package hsm

import (
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/pkcs11"
)

// softHSM is a private SoftHSM2 with one token; its files vanish with the test.
type softHSM struct {
	t      *testing.T
	module string
}

func newSoftHSM(t *testing.T) softHSM {
	t.Helper()
	module := softHSMModule()
	if _, err := exec.LookPath("softhsm2-util"); err != nil || module == "" {
		t.Skip("SKIPPED, NOT TESTED: no SoftHSM2 on this machine: apt-get install softhsm2")
	}
	directory := t.TempDir()
	tokens := filepath.Join(directory, "tokens")
	config := filepath.Join(directory, "softhsm2.conf")
	if err := os.Mkdir(tokens, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(config, []byte("directories.tokendir = "+tokens+"\nlog.level = ERROR\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	// The module reads this each time it is initialised, and every test ends
	// with it finalised.
	t.Setenv("SOFTHSM2_CONF", config)
	return softHSM{t, module}
}

func softHSMModule() string {
	for _, pattern := range []string{
		"/usr/lib/softhsm/libsofthsm2.so", "/usr/lib/*/softhsm/libsofthsm2.so",
		"/usr/lib64/pkcs11/libsofthsm2.so", "/usr/local/lib/softhsm/libsofthsm2.so",
	} {
		if found, _ := filepath.Glob(pattern); len(found) > 0 {
			return found[0]
		}
	}
	return ""
}

func (s softHSM) util(arguments ...string) {
	s.t.Helper()
	if out, err := exec.Command("softhsm2-util", arguments...).CombinedOutput(); err != nil {
		s.t.Fatalf("softhsm2-util %v: %v\n%s", arguments, err, out)
	}
}

func (s softHSM) initToken() {
	s.t.Helper()
	s.util("--init-token", "--free", "--label", "alfa", "--so-pin", "so-pin-1", "--pin", "1234")
}

func (s softHSM) importKey(i identity, id string) {
	s.t.Helper()
	s.util("--import", write(s.t, "key.pem", i.pkcs8(s.t)), "--token", "alfa", "--label", "pec", "--id", id, "--pin", "1234")
}

// open opens the key of i with a PIN.
func (s softHSM) open(i identity, pin string, change func(*Token)) (*Signer, error) {
	s.t.Helper()
	token := Token{Module: s.module, Label: "alfa", KeyLabel: "pec", Timeout: time.Minute,
		PINFile: write(s.t, "pin", []byte(pin+"\n"))}
	if change != nil {
		change(&token)
	}
	signer, err := OpenToken(write(s.t, "cert.pem", i.certificate), token, slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err == nil {
		s.t.Cleanup(func() {
			if err := signer.Close(); err != nil {
				s.t.Errorf("Close() error = %v", err)
			}
		})
	}
	return signer, err
}

func TestSoftHSMSigns(t *testing.T) {
	old, i := rsaIdentity(t, 2048), rsaIdentity(t, 2048)
	hsm := newSoftHSM(t)
	hsm.initToken()
	hsm.importKey(old, "0a") // the same label: the certificate decides
	hsm.importKey(i, "0b")
	cases := []struct {
		name   string
		change func(*Token)
	}{
		{"by label", nil},
		{"by label and id", func(t *Token) { t.KeyID = []byte{0x0b} }},
		{"by id alone", func(t *Token) { t.KeyLabel, t.KeyID = "", []byte{0x0b} }},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			signer, err := hsm.open(i, "1234", c.change)
			if err != nil {
				t.Fatalf("OpenToken() error = %v", err)
			}
			checkSigns(t, signer)
		})
	}
}

func TestSoftHSMSignsInParallel(t *testing.T) {
	i := rsaIdentity(t, 2048)
	hsm := newSoftHSM(t)
	hsm.initToken()
	hsm.importKey(i, "01")
	signer, err := hsm.open(i, "1234", nil)
	if err != nil {
		t.Fatalf("OpenToken() error = %v", err)
	}
	var waiting sync.WaitGroup
	for range 4 * DefaultSessions {
		waiting.Go(func() { checkSigns(t, signer) })
	}
	waiting.Wait()
}

func TestSoftHSMRefuses(t *testing.T) {
	i, other := rsaIdentity(t, 2048), rsaIdentity(t, 2048)
	hsm := newSoftHSM(t)
	hsm.initToken()
	hsm.importKey(i, "01")
	slot := 4000000
	cases := []struct {
		name   string
		of     identity
		change func(*Token)
		want   string
	}{
		{"key of another certificate", other, nil, "1 key pairs with label \"pec\""},
		{"no such key", i, func(t *Token) { t.KeyLabel = "nobody" }, "0 key pairs with label \"nobody\""},
		{"no such token", i, func(t *Token) { t.Label = "beta" }, "label \"beta\""},
		{"no such slot", i, func(t *Token) { t.Label, t.Slot = "", &slot }, "could not find PKCS#11 token"},
		{"no login", i, func(t *Token) { t.PINFile = "" }, "0 key pairs"},
		{"no module", i, func(t *Token) { t.Module = "/nowhere/libhsm.so" }, "/nowhere/libhsm.so: cannot open shared object file"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, err := hsm.open(c.of, "1234", c.change)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("OpenToken() error = %v, want one with %q", err, c.want)
			}
		})
	}
}

// CASES OP-07: a wrong PIN is tried once, or a few of them lock the token.
func TestSoftHSMWrongPINIsTriedOnce(t *testing.T) {
	i := rsaIdentity(t, 2048)
	hsm := newSoftHSM(t)
	hsm.initToken()
	hsm.importKey(i, "01")
	if _, err := hsm.open(i, "4321", nil); !errors.Is(err, ErrPIN) || strings.Contains(err.Error(), "4321") {
		t.Errorf("OpenToken() error = %v, want ErrPIN without the PIN in it", err)
	}
	token := Token{Module: hsm.module, Label: "alfa", KeyLabel: "pec", PINFile: "given", Sessions: 1, Timeout: time.Minute}
	var opens int
	open := func() (session, error) {
		opens++
		return openPKCS11(token, NewPIN("4321"))
	}
	key := tokenKey{newToken(open, time.Minute, DefaultSessions, slog.New(slog.DiscardHandler)), i.key.Public()}
	for range 5 {
		if _, err := key.Sign(rand.Reader, make([]byte, 32), crypto.SHA256); !errors.Is(err, ErrPIN) {
			t.Errorf("Sign() error = %v, want ErrPIN", err)
		}
	}
	if opens != 1 {
		t.Errorf("token was asked %d times with a wrong PIN, want once", opens)
	}
}

// TestSoftHSMRefresh: OP-08, a certificate is renewed to a second key on the token,
// with one session and one login; both keys sign, also after the session was lost.
func TestSoftHSMRefresh(t *testing.T) {
	r := newRenewal(t)
	hsm := newSoftHSM(t)
	hsm.initToken()
	hsm.importKey(identity{key: r.old.Key}, "01")
	certificate := write(t, "cert.pem", chainPEM(r.old))
	s, err := OpenToken(certificate, Token{Module: hsm.module, Label: "alfa", KeyLabel: "pec", Timeout: time.Minute,
		PINFile: write(t, "pin", []byte("1234"))}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	replace(t, certificate, chainPEM(r.renewed, r.old))
	if changed, err := s.Refresh(anything); changed || err == nil || !strings.Contains(err.Error(), "1 key pairs") {
		t.Errorf("Refresh() = %v, %v, want an error: the key is not on the token yet", changed, err)
	}
	signsAs(t, s, r.old)
	hsm.importKey(identity{key: r.renewed.Key}, "02")
	if changed, err := s.Refresh(anything); !changed || err != nil {
		t.Errorf("Refresh() = %v, %v, want the new one", changed, err)
	}
	signsAs(t, s, r.renewed)
	earlierSigns(t, s, r.old)
	if err := s.Close(); err != nil { // the session is opened again
		t.Fatal(err)
	}
	signsAs(t, s, r.renewed)
	earlierSigns(t, s, r.old)
}

func TestSoftHSMTokenReplaced(t *testing.T) {
	i := rsaIdentity(t, 2048)
	hsm := newSoftHSM(t)
	hsm.initToken()
	hsm.importKey(i, "01")
	signer, err := hsm.open(i, "1234", nil)
	if err != nil {
		t.Fatalf("OpenToken() error = %v", err)
	}
	checkSigns(t, signer)
	hsm.util("--delete-token", "--token", "alfa")
	key, _, err := signer.Current()
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256(nil)
	if _, err := key.Sign(rand.Reader, digest[:], crypto.SHA256); err == nil {
		t.Error("Sign() without the token: no error")
	}
	hsm.initToken()
	hsm.importKey(i, "01")
	checkSigns(t, signer)
}

// TestSoftHSMSpare: the first token is not there at the start, or goes later; the
// spare has the same key. OP-07: a wrong PIN of a spare is not passed over.
func TestSoftHSMSpare(t *testing.T) {
	i := rsaIdentity(t, 2048)
	hsm := newSoftHSM(t)
	spare := func(pin string) func(*Token) {
		return func(t *Token) {
			other := *t
			other.Label, other.PINFile = "beta", write(hsm.t, "pin", []byte(pin))
			t.Spares = []Token{other}
		}
	}
	if _, err := hsm.open(i, "1234", spare("1234")); err == nil || strings.Count(err.Error(), "could not find PKCS#11 token") != 2 {
		t.Errorf("OpenToken() without any token: error = %v, want one for each", err)
	}
	hsm.util("--init-token", "--free", "--label", "beta", "--so-pin", "so-pin-1", "--pin", "1234")
	hsm.util("--import", write(t, "key.pem", i.pkcs8(t)), "--token", "beta", "--label", "pec", "--id", "01", "--pin", "1234")
	if _, err := hsm.open(i, "1234", spare("4321")); !errors.Is(err, ErrPIN) {
		t.Errorf("OpenToken() error = %v, want ErrPIN of the spare", err)
	}
	signer, err := hsm.open(i, "1234", spare("1234"))
	if err != nil {
		t.Fatalf("OpenToken() with the spare alone: error = %v", err)
	}
	checkSigns(t, signer)
	if err := signer.Close(); err != nil {
		t.Fatal(err)
	}
	hsm.initToken()
	hsm.importKey(i, "01")
	signer, err = hsm.open(i, "1234", spare("1234"))
	if err != nil {
		t.Fatalf("OpenToken() with both: error = %v", err)
	}
	checkSigns(t, signer)
	hsm.util("--delete-token", "--token", "alfa")
	checkSigns(t, signer)
}

// TestSoftHSMAwayAndBack: the files of the token are moved away and back, as a device
// whose line is cut. One signature finds out, and the first after that works.
func TestSoftHSMAwayAndBack(t *testing.T) {
	i := rsaIdentity(t, 2048)
	hsm := newSoftHSM(t)
	hsm.initToken()
	hsm.importKey(i, "01")
	signer, err := hsm.open(i, "1234", nil)
	if err != nil {
		t.Fatalf("OpenToken() error = %v", err)
	}
	checkSigns(t, signer)
	tokens := filepath.Join(filepath.Dir(os.Getenv("SOFTHSM2_CONF")), "tokens")
	if err := errors.Join(os.Rename(tokens, tokens+".away"), os.Mkdir(tokens, 0o700)); err != nil {
		t.Fatal(err)
	}
	key, _, err := signer.Current()
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256(nil)
	for range 3 {
		if _, err := key.Sign(rand.Reader, digest[:], crypto.SHA256); err == nil {
			t.Error("Sign() without the token: no error")
		}
	}
	if err := errors.Join(os.Remove(tokens), os.Rename(tokens+".away", tokens)); err != nil {
		t.Fatal(err)
	}
	checkSigns(t, signer)
}

// A module whose own library is missing is the commonest fault of an
// installation.
func TestMissingDependencyIsNamed(t *testing.T) {
	if _, err := exec.LookPath("gcc"); err != nil {
		t.Skip("SKIPPED, NOT TESTED: no C compiler: apt-get install gcc")
	}
	directory := t.TempDir()
	compile := func(arguments ...string) {
		command := exec.Command("gcc", arguments...)
		command.Dir = directory
		if out, err := command.CombinedOutput(); err != nil {
			t.Fatalf("gcc %v: %v\n%s", arguments, err, out)
		}
	}
	if err := os.WriteFile(filepath.Join(directory, "empty.c"), []byte("int nothing;\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	compile("-shared", "-fPIC", "-o", "libvendorbase.so.4", "empty.c", "-Wl,-soname,libvendorbase.so.4")
	compile("-shared", "-fPIC", "-o", "module.so", "empty.c", "-Wl,--no-as-needed", "./libvendorbase.so.4")
	if err := os.Remove(filepath.Join(directory, "libvendorbase.so.4")); err != nil {
		t.Fatal(err)
	}
	_, err := openPKCS11(Token{Module: filepath.Join(directory, "module.so"), Label: "alfa", Sessions: 1}, PIN{})
	if err == nil || !strings.Contains(err.Error(), "libvendorbase.so.4") {
		t.Errorf("openPKCS11() error = %v, want one that names libvendorbase.so.4", err)
	}
}

// TestLostSession: FP-09, what PKCS#11 answers when a session, the login, the key's
// handle, the device or the connection to it is gone.
func TestLostSession(t *testing.T) {
	cured := []uint{
		pkcs11.CKR_SESSION_CLOSED, pkcs11.CKR_SESSION_HANDLE_INVALID, pkcs11.CKR_USER_NOT_LOGGED_IN,
		pkcs11.CKR_DEVICE_REMOVED, pkcs11.CKR_DEVICE_ERROR, pkcs11.CKR_TOKEN_NOT_PRESENT, pkcs11.CKR_TOKEN_NOT_RECOGNIZED,
		pkcs11.CKR_SLOT_ID_INVALID, pkcs11.CKR_KEY_HANDLE_INVALID, pkcs11.CKR_OBJECT_HANDLE_INVALID,
		pkcs11.CKR_CRYPTOKI_NOT_INITIALIZED, pkcs11.CKR_GENERAL_ERROR, pkcs11.CKR_FUNCTION_FAILED,
		pkcs11.CKR_OPERATION_ACTIVE, pkcs11.CKR_OPERATION_NOT_INITIALIZED, pkcs11.CKR_FUNCTION_CANCELED,
		pkcs11.CKR_VENDOR_DEFINED + 7,
	}
	not := []uint{
		pkcs11.CKR_MECHANISM_INVALID, pkcs11.CKR_DATA_LEN_RANGE, pkcs11.CKR_KEY_FUNCTION_NOT_PERMITTED,
		pkcs11.CKR_SESSION_COUNT, pkcs11.CKR_HOST_MEMORY, pkcs11.CKR_PIN_EXPIRED,
	}
	for want, codes := range map[bool][]uint{true: cured, false: not} {
		for _, code := range codes {
			err := fmt.Errorf("signing: %w", pkcs11.Error(code))
			if got := lost(err); got != want {
				t.Errorf("lost(%v) = %v, want %v", err, got, want)
			}
		}
	}
	if lost(x509.ErrUnsupportedAlgorithm) {
		t.Errorf("lost(%v) = true: it is not the token's", x509.ErrUnsupportedAlgorithm)
	}
}

// What a token may never be asked twice is never answered by asking again.
func TestPINErrorsAreTheEnd(t *testing.T) {
	for _, code := range pinErrors() {
		if err := explain(Token{}, code); !errors.Is(err, ErrPIN) || errors.Is(err, errLost) {
			t.Errorf("explain(%v) = %v, want ErrPIN and no lost session", code, err)
		}
	}
}
