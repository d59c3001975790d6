package pec

import "time"

// CertificationData is what a provider certifies about a message (RFC 6109
// section 4.4): the content of daticert.xml, and of the readable text.
type CertificationData struct {
	Kind        Kind        `json:"kind"`
	Error       ErrorKind   `json:"error,omitempty"` // empty: NoError
	Sender      string      `json:"sender"`          // mittente: the reverse path
	Recipients  []Recipient `json:"recipients"`      // destinatari, at least one
	ReplyTo     string      `json:"reply_to"`        // risposte; may be empty
	Subject     string      `json:"subject"`         // oggetto, decoded
	Provider    string      `json:"provider"`        // gestore-emittente: who certifies this message
	Time        time.Time   `json:"time"`            // data, to the second
	ID          string      `json:"id"`              // identificativo: the PEC msgid without <>
	Reference   string      `json:"reference,omitempty"`
	ReceiptType ReceiptType `json:"receipt_type,omitempty"`
	Delivered   string      `json:"delivered,omitempty"` // consegna: the one recipient a notice is about
	TakenFor    []string    `json:"taken_for,omitempty"` // ricezione: whom a server-server acceptance speaks for
	Detail      string      `json:"detail,omitempty"`    // errore-esteso
}

// Recipient is one recipient of the original message.
type Recipient struct {
	Address string        `json:"address"`
	Kind    RecipientKind `json:"kind"`
}
