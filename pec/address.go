package pec

import (
	"fmt"
	"mime"
	"net/mail"
	"strings"

	"github.com/emersion/go-message/charset"
)

// Addresses are the addresses (addr-spec, no display names) that a field of
// the header lists, over all its lines, groups opened. An address list that
// does not follow RFC 5322 is an error.
func Addresses(h Header, name string) ([]string, error) {
	parser := mail.AddressParser{WordDecoder: &mime.WordDecoder{CharsetReader: charset.Reader}}
	var all []string
	for _, f := range h.All(name) {
		if f.Text() == "" {
			continue // QUIRK: no address list by RFC 5322, but some clients write an empty Cc
		}
		list, err := parser.ParseList(f.Text())
		if err != nil {
			return nil, fmt.Errorf("field %s: %w", name, err)
		}
		for _, a := range list {
			all = append(all, a.Address)
		}
	}
	return all, nil
}

// SameAddress compares two addresses: the domain without regard to case, the
// local part exactly (RFC 5321 section 2.4) but for its quotes, which an
// address list may have lost.
func SameAddress(a, b string) bool {
	at, bt := strings.LastIndexByte(a, '@'), strings.LastIndexByte(b, '@')
	return at >= 0 && bt >= 0 && unquoted(a[:at]) == unquoted(b[:bt]) && strings.EqualFold(a[at:], b[bt:])
}

// unquoted is a local part without its quotes and backslashes.
func unquoted(local string) string {
	if len(local) < 2 || local[0] != '"' || local[len(local)-1] != '"' {
		return local
	}
	var b strings.Builder
	for i := 1; i < len(local)-1; i++ {
		if local[i] == '\\' && i+1 < len(local)-1 {
			i++
		}
		b.WriteByte(local[i])
	}
	return b.String()
}

// ContainsAddress tells whether an address is in a list.
func ContainsAddress(list []string, address string) bool {
	for _, a := range list {
		if SameAddress(a, address) {
			return true
		}
	}
	return false
}

// AddressSet is a set of addresses, compared as SameAddress does it. A message
// may have thousands.
type AddressSet map[string]struct{}

// Add adds an address and tells whether it is new.
func (s AddressSet) Add(address string) (added bool) {
	key := address
	if at := strings.LastIndexByte(address, '@'); at >= 0 {
		key = unquoted(address[:at]) + strings.ToLower(address[at:])
	}
	_, known := s[key]
	s[key] = struct{}{}
	return !known
}

// CanonicalAddress is the form of an address by which it is stored and
// compared: its domain in lower case.
func CanonicalAddress(a string) string {
	at := strings.LastIndexByte(a, '@')
	if at < 0 {
		return a
	}
	return a[:at] + strings.ToLower(a[at:])
}

// quotedAddress is an address as it stands between angle brackets: its local
// part quoted where it is no dot-atom.
func quotedAddress(a string) string {
	at := strings.LastIndexByte(a, '@')
	if at < 0 {
		return a
	}
	quoted := (&mail.Address{Address: a}).String() // <"a b"@example.org>
	return strings.Trim(quoted, "<>")
}
