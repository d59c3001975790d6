package point

import (
	"crypto/hmac"
	"errors"
	"slices"
	"strings"

	"github.com/pec-milter/pec-milter/pec"
)

// OutboxDomain is the domain of the outbox recipients: a domain that cannot
// exist (RFC 6761), which the MTA routes to the delivery door and refuses from
// everybody.
const OutboxDomain = "outbox.pec-milter.invalid"

// errOutboxAddress means that an address of the outbox domain was not made here.
var errOutboxAddress = errors.New("not an outbox address of this provider")

// outboxAddress is the recipient that is added to a message when a notice is
// owed for it: "<kind>.<transaction>.<HMAC>", lower case, at most 64 octets.
// The MTA commits it with the message; when the delivery door sees it the
// message is known to be in the queue.
func (s Secret) outboxAddress(kind pec.Kind, id TransactionID) string {
	return string(kind) + "." + base32Lower.EncodeToString(id[:]) + "." + s.outboxMAC(kind, id) + "@" + OutboxDomain
}

func (s Secret) outboxMAC(kind pec.Kind, id TransactionID) string {
	sum := s.mac("outbox", []byte(kind), id[:])
	return base32Lower.EncodeToString(sum[:10])
}

// parseOutbox reads an outbox address; errOutboxAddress if it was not made by
// outboxAddress with this secret.
func (s Secret) parseOutbox(address string) (pec.Kind, TransactionID, error) {
	local, domain, _ := strings.Cut(address, "@")
	parts := strings.Split(local, ".")
	if !strings.EqualFold(domain, OutboxDomain) || len(parts) != 3 {
		return "", TransactionID{}, errOutboxAddress
	}
	raw, err := base32Lower.DecodeString(parts[1])
	if err != nil || len(raw) != len(TransactionID{}) {
		return "", TransactionID{}, errOutboxAddress
	}
	kind, id := pec.Kind(parts[0]), TransactionID(raw)
	if !hmac.Equal([]byte(parts[2]), []byte(s.outboxMAC(kind, id))) {
		return "", TransactionID{}, errOutboxAddress
	}
	return kind, id, nil
}

func sorted(list []string) []string { return slices.Sorted(slices.Values(list)) }
