package daemonlog

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
)

// address is what may be a mail address, anywhere in a text: rather one too many.
var address = regexp.MustCompile(`(?:"(?:[^"\\]|\\.)*"|[^\s<>"',;:()\[\]\\]+)@[^\s<>"',;:()\[\]\\]+`)

// identifiers are of messages, and look like addresses.
var identifiers = map[string]bool{queueID: true, "id": true, "notice_id": true}

// hider is the key with which addresses are replaced.
type hider []byte

// value replaces the addresses in an attribute.
func (h hider) value(a slog.Attr) slog.Attr {
	if identifiers[a.Key] {
		return a
	}
	switch a.Value.Kind() {
	case slog.KindString:
		return slog.String(a.Key, h.text(a.Value.String()))
	case slog.KindAny, slog.KindGroup:
		if text := fmt.Sprint(a.Value.Any()); strings.Contains(text, "@") {
			return slog.String(a.Key, h.text(text))
		}
	}
	return a
}

func (h hider) text(text string) string { return address.ReplaceAllStringFunc(text, h.name) }

// name stands for an address: 80 bits of HMAC-SHA256 over it in lower case.
func (h hider) name(address string) string {
	mac := hmac.New(sha256.New, h)
	mac.Write([]byte(strings.ToLower(address)))
	return "address-" + strings.ToLower(base32.StdEncoding.EncodeToString(mac.Sum(nil)[:10]))
}
