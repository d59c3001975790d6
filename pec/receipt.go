package pec

import "strings"

// RequestedReceipt is the type of delivery notification that a user's message
// asks for in X-TipoRicevuta: Complete where it says nothing, or nothing known
// (RFC 6109 section 3.3.2.1).
func RequestedReceipt(h Header) ReceiptType {
	switch value := ReceiptType(strings.ToLower(h.Get(HeaderReceiptType))); value {
	case Brief, Concise:
		return value
	}
	return Complete
}

// ReceiptFor is the type of delivery notification that is issued for one
// recipient: what the sender asked for to the primary recipients, Concise to
// those in Cc. Where To and Cc do not tell, or name the recipient both, it
// counts as a primary one (RFC 6109 section 3.3.2.1).
func ReceiptFor(requested ReceiptType, original Header, recipient string) ReceiptType {
	to, errTo := Addresses(original, "To")
	cc, errCc := Addresses(original, "Cc")
	carbonCopy := errTo == nil && errCc == nil && ContainsAddress(cc, recipient) && !ContainsAddress(to, recipient)
	switch {
	case carbonCopy, requested == Concise:
		return Concise
	case requested == Brief:
		return Brief
	}
	return Complete
}
