package pec

import "fmt"

// inherited are the fields that an envelope takes from the message it encloses,
// unmodified (RFC 6109 sections 2.1.1.2, 3.1.5, 3.2.2). All others go no
// further than the enclosed message.
var inherited = []string{"Received", "To", "Cc", "Return-Path", "Reply-To"}

func inheritedFields(h Header) Header {
	var kept Header
	for _, f := range h {
		if f.isOneOf(inherited) {
			kept = append(kept, f)
		}
	}
	return kept
}

// Original is the user's message as it travels inside the transport envelope:
// its Message-ID replaced by the PEC msgid, its own kept in
// X-Riferimento-Message-ID, every other byte as it was (RFC 6109 section
// 2.2.1). A field X-Riferimento-Message-ID of the user's is left out.
func Original(m Message, id string) Message {
	ids := Header{NewField("Message-ID", "<"+id+">")}
	if reference := MessageID(m.Header); reference != "" {
		ids = append(ids, NewField(HeaderReference, reference))
	}
	var header Header
	for _, f := range m.Header.Without(HeaderReference) {
		if f.is("Message-ID") {
			header, ids = append(header, ids...), nil
			continue
		}
		header = append(header, f)
	}
	return Message{append(header, ids...), m.Body}
}

// NewEnvelope makes the transport envelope of a user's message (RFC 6109
// section 3.1.5). data is the certification data, its Kind and Error are set
// here; by is needed for its Address.
func NewEnvelope(m Message, data CertificationData, by Issuer) (*Draft, error) {
	data.Kind, data.Error = Envelope, NoError
	text, err := readableText("posta-certificata", &data, "")
	if err != nil {
		return nil, err
	}
	header := append(inheritedFields(m.Header),
		NewField(HeaderTransport, string(Envelope)),
		NewField(HeaderReceiptType, string(data.ReceiptType)),
		NewField("Date", headerDate(data.Time)),
		subjectField("POSTA CERTIFICATA:", SubjectValue(m.Header), data.Subject),
		onBehalf(data.Sender, by.Address),
		NewField("Message-ID", "<"+data.ID+">"))
	if data.Reference != "" {
		header = append(header, NewField(HeaderReference, data.Reference))
	}
	header = withReplyTo(header, data.Sender)
	draft := &Draft{Header: header, data: data, text: text, xml: data.XML()}
	return draft, draft.attach(Original(m, data.ID).pieces()...)
}

// NewAnomaly makes the anomaly envelope of a message that came in and could not
// be certified (RFC 6109 section 3.2.2): it encloses the whole message and
// keeps its Message-ID. data.Detail are the reasons, one a line; data.Time is
// the time of arrival; data.Sender the reverse path, which may be empty.
func NewAnomaly(m Message, data CertificationData, by Issuer) (*Draft, error) {
	text, err := readableText("anomalia", &data, "")
	if err != nil {
		return nil, err
	}
	header := append(inheritedFields(m.Header),
		NewField(HeaderTransport, string(Anomaly)),
		NewField("Date", headerDate(data.Time)),
		subjectField("ANOMALIA MESSAGGIO:", SubjectValue(m.Header), data.Subject),
		onBehalf(data.Sender, by.Address))
	header = append(header, m.Header.All("Message-ID")...)
	if data.Sender != "" {
		header = withReplyTo(header, data.Sender)
	}
	draft := &Draft{Header: header, data: data, text: text}
	return draft, draft.attach(m.pieces()...)
}

// onBehalf is the From of an envelope. QUIRK: RFC 6109 has "On behalf of:"; the
// wire has Italian, and the address alone, never the user's display name.
func onBehalf(sender, address string) Field {
	return NewField("From", fmt.Sprintf("%s <%s>", quotedString("Per conto di: "+sender), address))
}

// quotedString is text as an RFC 5322 quoted-string; what is not printable
// ASCII becomes a question mark.
func quotedString(text string) string {
	quoted := []byte{'"'}
	for _, r := range text {
		switch {
		case r == '"' || r == '\\':
			quoted = append(quoted, '\\', byte(r))
		case r < ' ' || r > 126:
			quoted = append(quoted, '?')
		default:
			quoted = append(quoted, byte(r))
		}
	}
	return string(append(quoted, '"'))
}

// withReplyTo adds Reply-To with the original sender where it is not there.
func withReplyTo(h Header, sender string) Header {
	if h.Count("Reply-To") > 0 {
		return h
	}
	return append(h, NewField("Reply-To", quotedAddress(sender)))
}

// SubjectValue is the value of the Subject field as it stands, encoded and
// folded; empty where there is none.
func SubjectValue(h Header) string {
	if all := h.All("Subject"); len(all) > 0 {
		return all[0].Value
	}
	return ""
}
