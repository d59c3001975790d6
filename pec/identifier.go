package pec

import (
	"encoding/base32"
	"strings"
)

// alphanumeric writes bytes with letters and digits only.
var alphanumeric = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// NewID makes an identifier of a message, without angle brackets, from bytes
// that must be unique and hard to guess (20 or more):
// "[alphanumeric string]@[provider mail domain]", RFC 6109 section 2.2.1.
func NewID(unique []byte, domain string) string {
	return "pec" + alphanumeric.EncodeToString(unique) + "@" + domain
}

// MessageID is the Message-ID of the user's message with its angle brackets,
// as it is carried by X-Riferimento-Message-ID and by msgid; empty where the
// message has none.
func MessageID(h Header) string { return h.Get("Message-ID") }

// trimBrackets is a Message-ID without its angle brackets.
func trimBrackets(id string) string {
	return strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(id), "<"), ">")
}
