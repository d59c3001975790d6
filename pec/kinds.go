package pec

// Kind is the type of a PEC message: the value of the header X-Ricevuta for a
// notification, of X-Trasporto for an envelope, and of the attribute tipo of
// the certification data (RFC 6109 section 4.4). Its zero value is no PEC
// message at all.
type Kind string

// The kinds of PEC messages, RFC 6109 section 3.
const (
	Acceptance       Kind = "accettazione"              // section 3.1.4
	NonAcceptance    Kind = "non-accettazione"          // sections 3.1.2 and 3.1.3
	ServerAcceptance Kind = "presa-in-carico"           // section 3.2.1
	Delivery         Kind = "avvenuta-consegna"         // section 3.3.2
	NonDelivery      Kind = "errore-consegna"           // sections 3.2.4 and 3.3.3
	TimeoutNotice    Kind = "preavviso-errore-consegna" // section 3.1.6
	VirusDetection   Kind = "rilevazione-virus"         // section 3.2.3
	Envelope         Kind = "posta-certificata"         // section 3.1.5
	Anomaly          Kind = "errore"                    // section 3.2.2: only in X-Trasporto
)

// RecipientKind says whether a recipient's domain belongs to the PEC
// infrastructure: the attribute tipo of destinatari (RFC 6109 section 4.4).
type RecipientKind string

// The two kinds of recipients.
const (
	Certified RecipientKind = "certificato"
	Ordinary  RecipientKind = "esterno"
)

// ReceiptType is the delivery notification that the sender asks for: the value
// of X-TipoRicevuta (RFC 6109 section 3.1.5).
type ReceiptType string

// The three types of delivery notifications, RFC 6109 section 3.3.2.
const (
	Complete ReceiptType = "completa"
	Brief    ReceiptType = "breve"
	Concise  ReceiptType = "sintetica"
)

// ErrorKind is the attribute errore of the certification data (RFC 6109
// section 4.4).
type ErrorKind string

// The values of errore. The empty value stands for NoError when reading.
const (
	NoError      ErrorKind = "nessuno"
	WrongMailbox ErrorKind = "no-dest"
	WrongDomain  ErrorKind = "no-dominio"
	VirusFound   ErrorKind = "virus"
	OtherError   ErrorKind = "altro"
)

// The header fields of PEC, RFC 6109 section 8.1.
const (
	HeaderTransport   = "X-Trasporto"
	HeaderReceipt     = "X-Ricevuta"
	HeaderReference   = "X-Riferimento-Message-ID"
	HeaderReceiptType = "X-TipoRicevuta"
	HeaderSecurity    = "X-VerificaSicurezza"
	HeaderSender      = "X-Mittente"
)

// HeaderTrace is a header field of ours, not of the RFC: the delivery door
// stamps it on what it stores, with an HMAC of the delivery's key, and the
// mailbox store drops a second message with the same value.
const HeaderTrace = "X-PEC-Milter-Trace"

// HeaderRepeat is another one: it stands behind HeaderTrace where an attempt before may
// have stored the message already.
const HeaderRepeat = "X-PEC-Milter-Repeat"
