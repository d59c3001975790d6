package point

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"hash"
	"strings"
)

// Secret is the provider's secret, shared by its nodes. All identifiers are
// derived from it, so that every node, and every retry, finds the same ones,
// and nobody outside can guess them.
type Secret []byte

// mac is the HMAC-SHA-256 of the parts, each with its length before it. The
// first part names the use, so that no value serves for two.
func (s Secret) mac(use string, parts ...[]byte) [32]byte {
	h := hmac.New(sha256.New, s)
	writeParts(h, append([][]byte{[]byte(use)}, parts...))
	return [32]byte(h.Sum(nil))
}

// Derive is a secret for one use outside of this package. It tells nothing of s,
// nor of what is derived for another use.
func (s Secret) Derive(use string) Secret {
	sum := s.mac("derive", []byte(use))
	return sum[:]
}

// hashKey is the SHA-256 of the parts, each with its length before it.
func hashKey(use string, parts ...[]byte) Key {
	h := sha256.New()
	writeParts(h, append([][]byte{[]byte(use)}, parts...))
	return Key(h.Sum(nil))
}

func writeParts(h hash.Hash, parts [][]byte) {
	var length [8]byte
	for _, p := range parts {
		binary.BigEndian.PutUint64(length[:], uint64(len(p)))
		h.Write(length[:])
		h.Write(p)
	}
}

// base32Lower writes bytes for a local part: lower case, no padding.
var base32Lower = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// trace is the value of the trace header of one delivery: who does not know the
// secret cannot make the mailbox store drop a message.
func (s Secret) trace(key Key) string {
	sum := s.mac("trace", key[:])
	return base32Lower.EncodeToString(sum[:20])
}

// submissionKey names what was submitted: a retry with the same bytes has the
// same key (DESIGN: K). Trace fields change with each attempt and do not count.
func submissionKey(door Door, t *Transaction) Key {
	parts := [][]byte{[]byte(door), []byte(t.User), []byte(t.ReversePath)}
	for _, r := range sorted(t.Recipients) {
		parts = append(parts, []byte(r))
	}
	header := t.Message.Header.Without("Received", "Return-Path", "Delivered-To", "X-Original-To")
	return hashKey("submission", append(parts, []byte(header.String()), t.BodyDigest[:])...)
}

// isOutbox tells whether an address is in the domain of the outbox.
func isOutbox(address string) bool {
	return strings.HasSuffix(strings.ToLower(address), "@"+OutboxDomain)
}
