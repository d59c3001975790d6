//go:build cgo && !nopkcs11

package hsm

import (
	"crypto/x509"
	"errors"
	"fmt"
	"strings"

	"github.com/miekg/pkcs11"
)

// list reads a module without crypto11, which knows only what can sign.
func list(t Token, pin PIN) (slots []Slot, err error) {
	module := pkcs11.New(t.Module)
	if module == nil {
		return nil, explain(t, errors.New("cannot be loaded"))
	}
	defer module.Destroy()
	if err := module.Initialize(); err != nil {
		return nil, explain(t, err)
	}
	defer func() { err = errors.Join(err, module.Finalize()) }()
	numbers, err := module.GetSlotList(true)
	if err != nil {
		return nil, explain(t, err)
	}
	for _, number := range numbers {
		slot, err := listSlot(module, t, pin, number)
		if err != nil {
			return slots, err
		}
		slots = append(slots, slot)
	}
	return slots, nil
}

func listSlot(module *pkcs11.Ctx, t Token, pin PIN, number uint) (slot Slot, err error) {
	info, err := module.GetTokenInfo(number)
	if err != nil {
		return slot, explain(t, err)
	}
	slot = Slot{Number: number, Label: info.Label, Serial: info.SerialNumber, Model: info.Model, Sessions: bound(info)}
	if info.Flags&pkcs11.CKF_TOKEN_INITIALIZED == 0 {
		return slot, nil
	}
	session, err := module.OpenSession(number, pkcs11.CKF_SERIAL_SESSION)
	if err != nil {
		return slot, explain(t, err)
	}
	defer func() { err = errors.Join(err, module.CloseSession(session)) }()
	if t.chooses(slot) {
		if t.PINFile != "" {
			if err := module.Login(session, pkcs11.CKU_USER, pin.Reveal()); err != nil {
				return slot, explain(t, err)
			}
		}
		slot.Chosen = true
	}
	return slot, listObjects(module, session, t, &slot)
}

// bound is how many sessions of any kind the token allows.
func bound(info pkcs11.TokenInfo) uint {
	for _, most := range []uint{info.MaxRwSessionCount, info.MaxSessionCount} {
		if most != pkcs11.CK_UNAVAILABLE_INFORMATION && most != pkcs11.CK_EFFECTIVELY_INFINITE {
			return most
		}
	}
	return 0
}

func (t Token) chooses(s Slot) bool {
	return t.Slot != nil && uint(*t.Slot) == s.Number || t.Label != "" && t.Label == s.Label || t.Serial != "" && t.Serial == s.Serial
}

func listObjects(module *pkcs11.Ctx, session pkcs11.SessionHandle, t Token, slot *Slot) error {
	keys, err := objects(module, session, pkcs11.NewAttribute(pkcs11.CKA_CLASS, pkcs11.CKO_PRIVATE_KEY))
	if err != nil {
		return err
	}
	for _, handle := range keys {
		key := Key{Label: string(attribute(module, session, handle, pkcs11.CKA_LABEL)), ID: attribute(module, session, handle, pkcs11.CKA_ID)}
		key.Fits = slot.Chosen && (t.KeyLabel == "" || t.KeyLabel == key.Label) && (t.KeyID == nil || string(t.KeyID) == string(key.ID))
		if key.material, err = publicMaterial(module, session, handle, key.ID); err != nil {
			return err
		}
		slot.Keys = append(slot.Keys, key)
	}
	certificates, err := objects(module, session, pkcs11.NewAttribute(pkcs11.CKA_CLASS, pkcs11.CKO_CERTIFICATE))
	if err != nil {
		return err
	}
	for _, handle := range certificates {
		certificate, err := x509.ParseCertificate(attribute(module, session, handle, pkcs11.CKA_VALUE))
		if err != nil {
			continue // of another kind than X.509
		}
		slot.Certificates = append(slot.Certificates, certificate)
	}
	return nil
}

// publicMaterial is the modulus, which an RSA key has itself, or the point, which is
// with the public key of the same id.
func publicMaterial(module *pkcs11.Ctx, session pkcs11.SessionHandle, key pkcs11.ObjectHandle, id []byte) ([]byte, error) {
	if modulus := attribute(module, session, key, pkcs11.CKA_MODULUS); len(modulus) > 0 {
		return []byte(strings.TrimLeft(string(modulus), "\x00")), nil
	}
	public, err := objects(module, session, pkcs11.NewAttribute(pkcs11.CKA_CLASS, pkcs11.CKO_PUBLIC_KEY), pkcs11.NewAttribute(pkcs11.CKA_ID, id))
	if err != nil || len(public) == 0 {
		return nil, err
	}
	return attribute(module, session, public[0], pkcs11.CKA_EC_POINT), nil
}

// attribute is empty where an object has none of that kind.
func attribute(module *pkcs11.Ctx, session pkcs11.SessionHandle, object pkcs11.ObjectHandle, kind uint) []byte {
	found, err := module.GetAttributeValue(session, object, []*pkcs11.Attribute{pkcs11.NewAttribute(kind, nil)})
	if err != nil || len(found) == 0 {
		return nil
	}
	return found[0].Value
}

func objects(module *pkcs11.Ctx, session pkcs11.SessionHandle, template ...*pkcs11.Attribute) (all []pkcs11.ObjectHandle, err error) {
	const some = 100
	if err := module.FindObjectsInit(session, template); err != nil {
		return nil, fmt.Errorf("looking for objects on the PKCS#11 token: %w", err)
	}
	defer func() { err = errors.Join(err, module.FindObjectsFinal(session)) }()
	for {
		found, _, err := module.FindObjects(session, some)
		if err != nil || len(found) == 0 {
			return all, err
		}
		all = append(all, found...)
	}
}
