//go:build cgo && !nopkcs11

package hsm

// #cgo linux LDFLAGS: -ldl
// #include <dlfcn.h>
// #include <stdlib.h>
// #include <string.h>
//
// // load_fault tells why the dynamic loader takes no library of that name;
// // NULL if it does. The caller frees it. dlerror belongs to the thread: both
// // calls must be in one function.
// static char *load_fault(const char *path) {
// 	void *library = dlopen(path, RTLD_LAZY);
// 	if (library == NULL) {
// 		return strdup(dlerror());
// 	}
// 	dlclose(library);
// 	return NULL;
// }
import "C"

import (
	"crypto"
	"errors"
	"fmt"
	"slices"
	"sync"
	"unsafe"

	"github.com/ThalesGroup/crypto11"
	"github.com/miekg/pkcs11"
)

// WithPKCS11 tells whether this build can use tokens.
const WithPKCS11 = true

// pkcs11Session is a context of crypto11, which keeps a pool of sessions but never
// opens one again when it is lost.
type pkcs11Session struct {
	context *crypto11.Context
	token   Token

	mu   sync.Mutex
	keys []crypto.Signer // those that were found
}

// openPKCS11 logs in, once.
func openPKCS11(t Token, pin PIN) (s session, err error) {
	defer func() {
		// crypto11 panics where a token allows one session only.
		if p := recover(); p != nil {
			err = fmt.Errorf("opening PKCS#11 token: %v", p)
		}
	}()
	context, err := crypto11.Configure(&crypto11.Config{
		Path:              t.Module,
		TokenLabel:        t.Label,
		TokenSerial:       t.Serial,
		SlotNumber:        t.Slot,
		Pin:               pin.Reveal(),
		LoginNotSupported: t.PINFile == "",
		MaxSessions:       t.Sessions + 1, // one of them keeps the login; the token may allow fewer
		PoolWaitTimeout:   t.Timeout,
	})
	if err != nil {
		return nil, explain(t, err)
	}
	return &pkcs11Session{context: context, token: t}, nil
}

// findKey takes the key whose public half is that of the certificate: after a
// renewal a token may hold two of the same label.
func findKey(context *crypto11.Context, t Token, public crypto.PublicKey) (crypto.Signer, error) {
	keys, err := context.FindKeyPairs(t.KeyID, []byte(t.KeyLabel))
	if err != nil {
		return nil, fmt.Errorf("looking for the key on the PKCS#11 token: %w", err)
	}
	for _, key := range keys {
		if sameKey(key.Public(), public) {
			return key, nil
		}
	}
	return nil, fmt.Errorf("%w: PKCS#11 token has %d key pairs with label %q and id %q, and none belongs to the certificate: "+
		"compare with pec-milter hsm list", errNoKey, len(keys), t.KeyLabel, fmt.Sprintf("%x", t.KeyID))
}

// Find looks for a key.
func (s *pkcs11Session) Find(public crypto.PublicKey) error {
	_, err := s.key(public)
	return err
}

// key is the one that belongs to a public key.
func (s *pkcs11Session) key(public crypto.PublicKey) (crypto.Signer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, key := range s.keys {
		if sameKey(key.Public(), public) {
			return key, nil
		}
	}
	key, err := findKey(s.context, s.token, public)
	if err != nil {
		return nil, orLost(err)
	}
	s.keys = append(s.keys, key)
	return key, nil
}

// Sign makes a signature on the token.
func (s *pkcs11Session) Sign(public crypto.PublicKey, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	key, err := s.key(public)
	if err != nil {
		return nil, err
	}
	signature, err := key.Sign(nil, digest, opts)
	if err != nil {
		return nil, fmt.Errorf("signing with the PKCS#11 token: %w", orLost(err))
	}
	return signature, nil
}

// orLost marks an error that a new session may cure.
func orLost(err error) error {
	if lost(err) {
		return fmt.Errorf("%w: %w", errLost, err)
	}
	return err
}

// Close waits for signatures under way and unloads the module.
func (s *pkcs11Session) Close() error { return s.context.Close() }

// explain says what a failed opening means.
func explain(t Token, err error) error {
	var code pkcs11.Error
	if !errors.As(err, &code) {
		if fault := loadFault(t.Module); fault != "" {
			return fmt.Errorf("PKCS#11 module %s cannot be loaded: %s: install what is missing", t.Module, fault)
		}
		return fmt.Errorf("opening PKCS#11 token (module %s, label %q, serial %q): %w", t.Module, t.Label, t.Serial, err)
	}
	if slices.Contains(pinErrors(), code) {
		return fmt.Errorf("%w: %w", ErrPIN, err)
	}
	return fmt.Errorf("opening PKCS#11 token: %w", err)
}

// loadFault is the dynamic loader's complaint about a library, which names the
// dependency that is missing; empty if there is none. crypto11 does not tell.
func loadFault(path string) string {
	name := C.CString(path)
	defer C.free(unsafe.Pointer(name))
	fault := C.load_fault(name)
	if fault == nil {
		return ""
	}
	defer C.free(unsafe.Pointer(fault))
	return C.GoString(fault)
}

// pinErrors are the answers that count, or may count, as a wrong PIN.
func pinErrors() []pkcs11.Error {
	return []pkcs11.Error{
		pkcs11.CKR_PIN_INCORRECT, pkcs11.CKR_PIN_INVALID, pkcs11.CKR_PIN_LEN_RANGE,
		pkcs11.CKR_PIN_EXPIRED, pkcs11.CKR_PIN_LOCKED,
	}
}

// lost tells whether a new session may cure an error. Vendors have codes of
// their own for a lost connection, so all of a token's answers may but those
// about what was asked, or about room.
func lost(err error) bool {
	var code pkcs11.Error
	return errors.As(err, &code) && !slices.Contains([]pkcs11.Error{
		pkcs11.CKR_DATA_INVALID, pkcs11.CKR_DATA_LEN_RANGE,
		pkcs11.CKR_MECHANISM_INVALID, pkcs11.CKR_MECHANISM_PARAM_INVALID,
		pkcs11.CKR_KEY_FUNCTION_NOT_PERMITTED, pkcs11.CKR_KEY_TYPE_INCONSISTENT,
		pkcs11.CKR_KEY_SIZE_RANGE, pkcs11.CKR_PIN_EXPIRED,
		pkcs11.CKR_HOST_MEMORY, pkcs11.CKR_DEVICE_MEMORY, pkcs11.CKR_SESSION_COUNT,
	}, code)
}
