package config

// Signer is the key that signs. It is in a file (**key_file**) or on a PKCS#11 token
// (**module** and the keys after it), never both.
type Signer struct {
	// CertificateFile: path of a PEM file, required. The signing certificate first, then
	// its intermediates. Behind them may stand earlier signing certificates, each with
	// its own: what they signed and what must be issued again is signed with them again,
	// as long as they are valid and their keys are there. The file is looked at every
	// minute; a new certificate is taken if it has its key and other providers would
	// believe it.
	CertificateFile string `toml:"certificate_file"`
	// KeyFile: private file in PEM, not encrypted: PKCS#8, PKCS#1 or SEC 1. RSA of at
	// least 2048 bits, or EC. It may hold several keys: each certificate takes its own.
	// Looked at every minute. For trials.
	KeyFile string `toml:"key_file"`
	SignerToken
	// Timeout: duration, at most 0.8 of **content_timeout**. How long one signature on
	// the token may take; then the message gets 451. With spare tokens each of them, the
	// first included, has an equal share of it.
	Timeout Duration `toml:"timeout"`
	// Spares: a table for each further token that has *the same key*, after all other
	// keys of **[signer]**: **module**, **token** (or **token_serial**, **token_slot**),
	// **key_label**, **key_id**, **pin_file** and **sessions**, each as above. While the
	// token before does not sign, is silent, or gives a signature that does not verify,
	// the next one signs. Every minute each is asked for a signature, and the first that
	// gives one is used from then on. At the start one must be there. A PIN that any of
	// them refuses stops the start: none is tried twice. Give it a module of its own
	// where you can: after a loss a module is loaded anew only if no other token of it
	// is open.
	Spares []SignerToken `toml:"spare"`
}

// SignerToken is a PKCS#11 token with the key. Exactly one of Token, TokenSerial
// and TokenSlot is given, and KeyLabel, KeyID or both.
type SignerToken struct {
	// Module: path. The PKCS#11 library of the token's vendor.
	Module string `toml:"module"`
	// Token: text. The token's label. Exactly one of **token**, **token_serial** and
	// **token_slot** chooses the token.
	Token string `toml:"token"`
	// TokenSerial: text. The token's serial number.
	TokenSerial string `toml:"token_serial"`
	// TokenSlot: whole number. The number of the token's slot, as the module counts.
	TokenSlot *int `toml:"token_slot"`
	// KeyLabel: text. The label of the key on the token. **key_label**, **key_id** or
	// both are required with a token. If several keys fit, those that belong to the
	// certificates are taken.
	KeyLabel string `toml:"key_label"`
	// KeyID: pairs of hexadecimal digits, in quotation marks. The CKA_ID of the key.
	KeyID Hex `toml:"key_id"`
	// PINFile: private file with the user PIN alone. Without it there is no login. The
	// PIN is tried once: if the token refuses it, signing stops until a restart.
	PINFile string `toml:"pin_file"`
	// Sessions: whole number. How many signatures the token makes at once, at most; 0 is
	// 16. A token that allows fewer sessions gets fewer, for one of those that it allows
	// keeps the login; **pec-milter hsm list** shows what it says, **hsm bench** what
	// more of them gain. If other programs use the token too, write what is left for
	// this one.
	Sessions int `toml:"sessions"`
}
