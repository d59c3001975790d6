package pec

import "fmt"

// Notice is one PEC notification (RFC 6109 section 2.1.1.1), all it says.
type Notice struct {
	// Data are the certification data: Kind, Time, Delivered, TakenFor, Error
	// and Detail are those of the notice, the rest those of the message.
	Data CertificationData
	ID   string // the notice's own Message-ID, without <>
	To   string // whom it is sent to
	// Subject is the original Subject field's value as it was encoded; where it
	// does not decode to Data.Subject that one is encoded.
	Subject string
	// Type is the type of a Delivery notice as it is issued; Data.ReceiptType is
	// the type that the sender asked for.
	Type ReceiptType
	// Virus is what was found; needed with Error VirusFound and for VirusDetection.
	Virus string
	// Final marks a TimeoutNotice as that of 24 hours.
	Final bool
	// Original is the original message, whole, that a Delivery of type Complete
	// or Brief encloses; nil for all others.
	Original Body
}

// form is what a kind of notice has of its own: RFC 6109 sections 3.1 to 3.3.
type form struct{ subject, text string }

// form finds the subject's prefix and the text of the notice.
func (n *Notice) form() (form, error) {
	virus := n.Data.Error == VirusFound
	switch {
	case n.Data.Kind == Acceptance:
		return form{"ACCETTAZIONE:", "accettazione"}, nil
	case n.Data.Kind == NonAcceptance && virus:
		return form{"AVVISO DI NON ACCETTAZIONE PER VIRUS:", "non-accettazione-virus"}, nil
	case n.Data.Kind == NonAcceptance:
		return form{"AVVISO DI NON ACCETTAZIONE:", "non-accettazione"}, nil
	case n.Data.Kind == ServerAcceptance:
		return form{"PRESA IN CARICO:", "presa-in-carico"}, nil
	case n.Data.Kind == Delivery:
		return form{"CONSEGNA:", "avvenuta-consegna-" + string(n.Type)}, nil
	case n.Data.Kind == NonDelivery && virus:
		return form{"AVVISO DI MANCATA CONSEGNA PER VIRUS:", "errore-consegna-virus"}, nil
	case n.Data.Kind == NonDelivery:
		return form{"AVVISO DI MANCATA CONSEGNA:", "errore-consegna"}, nil
	case n.Data.Kind == TimeoutNotice && n.Final:
		return form{"AVVISO DI MANCATA CONSEGNA PER SUP. TEMPO MASSIMO:", "preavviso-24"}, nil
	case n.Data.Kind == TimeoutNotice:
		return form{"AVVISO DI MANCATA CONSEGNA PER SUP. TEMPO MASSIMO:", "preavviso-12"}, nil
	case n.Data.Kind == VirusDetection:
		return form{"PROBLEMA DI SICUREZZA:", "rilevazione-virus"}, nil
	}
	return form{}, fmt.Errorf("no notice of kind %q", n.Data.Kind)
}

// NewNotice makes a PEC notification. An error means that the notice is of no
// known kind, or that its original message cannot be read.
func NewNotice(n Notice, by Issuer) (*Draft, error) {
	form, err := n.form()
	if err != nil {
		return nil, err
	}
	text, err := readableText(form.text, &n.Data, n.Virus)
	if err != nil {
		return nil, err
	}
	draft := &Draft{Header: n.header(form.subject, by.Address), data: n.Data, text: text, xml: n.Data.XML()}
	if n.Original == nil {
		return draft, nil
	}
	return draft, draft.attach(n.Original)
}

func (n *Notice) header(subject, from string) Header {
	h := Header{NewField(HeaderReceipt, string(n.Data.Kind))}
	if n.Data.Error == VirusFound && n.Data.Kind != VirusDetection {
		h = append(h, NewField(HeaderSecurity, "errore"))
	}
	if n.Data.Kind == VirusDetection {
		h = append(h, NewField(HeaderSender, quotedAddress(n.Data.Sender)))
	}
	h = append(h,
		NewField("Date", headerDate(n.Data.Time)),
		subjectField(subject, n.Subject, n.Data.Subject),
		NewField("From", quotedAddress(from)),
		NewField("To", quotedAddress(n.To)),
		NewField("Message-ID", "<"+n.ID+">"))
	if n.Data.Reference != "" {
		h = append(h, NewField(HeaderReference, n.Data.Reference))
	}
	// RFC 3834: no vacation message ever answers a notice.
	return append(h, NewField("Auto-Submitted", "auto-generated"))
}
