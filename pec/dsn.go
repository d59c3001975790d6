package pec

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
)

// DSN is a delivery status notification (RFC 3464): what an MTA writes to a
// sender whose message it could not deliver, or not yet. Nothing vouches for
// it, and anyone can write one: who takes it for true must know by the way it
// came that the own MTA wrote it.
type DSN struct {
	// ReportingMTA is the host name of the MTA that wrote it.
	ReportingMTA string
	// Recipients are those that it reports, at least one, in its order. Outbox
	// recipients may be among them.
	Recipients []DSNRecipient
	// Returned is the header of the message that it is about; nil if it encloses
	// none, or none that can be read.
	Returned Header
}

// DSNRecipient is what a DSN reports of one recipient. Texts are on one line,
// without control characters.
type DSNRecipient struct {
	// Final is the recipient's address as the MTA had it at last, Original as
	// the sender gave it; Original may be empty, Final is not.
	Final, Original string
	Action          DSNAction
	// Status is the enhanced status code, RFC 3463; empty where there is none.
	// It may be of class 4 though Action is DSNFailed: that is how Postfix and
	// Sendmail report that the time of the queue was up.
	Status string
	// Diagnostic is the reply of the other server, or what the MTA says itself;
	// may be empty.
	Diagnostic string
	RemoteMTA  string // host name or address; may be empty
}

// DSNAction is what became of a recipient, RFC 3464 section 2.3.3.
type DSNAction string

// The actions. Only a DSNFailed recipient will never get the message.
const (
	DSNFailed    DSNAction = "failed"
	DSNDelayed   DSNAction = "delayed"
	DSNDelivered DSNAction = "delivered"
	DSNRelayed   DSNAction = "relayed"
	DSNExpanded  DSNAction = "expanded"
)

// Failure is how a DSNFailed recipient is told of in a PEC notification: see
// DeliveryFailure. For every other action code is empty, and kind is NoError.
func (r DSNRecipient) Failure() (code string, kind ErrorKind) {
	if r.Action != DSNFailed {
		return "", NoError
	}
	return DeliveryFailure(r.Status, r.Diagnostic)
}

// ErrNoDSN means that a message is no delivery status notification that can be
// read. It is wrapped with the reason.
var ErrNoDSN = errors.New("no delivery status notification")

// ReadDSN reads a delivery status notification: multipart/report of the type
// delivery-status (RFC 6522), whose second part is a message/delivery-status,
// and whose third, where there is one, the returned message or its header; the
// forms of RFC 6533 (message/global-…) too. Memory is limited as in Structure.
// The error wraps ErrNoDSN or is one of reading.
//
// Addresses are taken as they are. QUIRK: RFC 3461 sends Original-Recipient in
// xtext between servers, but Postfix and Sendmail write it decoded into a DSN:
// decoding again would make another address of mario+AB@pec.example.
func ReadDSN(m Message) (*DSN, error) {
	if m.Body == nil {
		m.Body = text("")
	}
	source := &watchedBody{Body: m.Body}
	dsn, err := readDSN(Message{m.Header, source})
	switch {
	case source.err != nil:
		return nil, fmt.Errorf("reading a delivery status notification: %w", source.err)
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrNoDSN, err)
	}
	return dsn, nil
}

func readDSN(m Message) (*DSN, error) {
	root, err := Structure(m)
	if err != nil {
		return nil, err
	}
	parts := root.Parts
	if reports := root.Params["report-type"]; root.MediaType != "multipart/report" || !strings.EqualFold(reports, "delivery-status") {
		return nil, fmt.Errorf("it is %s, report-type %.100q", root.MediaType, reports)
	}
	if len(parts) < 2 || len(parts) > 3 || !slices.Contains(statusTypes, parts[1].MediaType) {
		return nil, fmt.Errorf("the second of its %d parts is no status", len(parts))
	}
	groups, err := fieldGroups(parts[1])
	if err != nil {
		return nil, fmt.Errorf("delivery status: %w", err)
	}
	dsn, err := readStatus(groups)
	if err != nil || len(parts) == 2 {
		return dsn, err
	}
	dsn.Returned = returnedHeader(parts[2])
	return dsn, nil
}

// statusTypes: RFC 3464, and RFC 6533 for a message with addresses in UTF-8.
var statusTypes = []string{"message/delivery-status", "message/global-delivery-status"}

// returnedTypes are those of a message that is returned, or of its header.
var returnedTypes = []string{"message/rfc822", "message/global",
	"text/rfc822-headers", "message/rfc822-headers", "message/global-headers"}

// returnedHeader: a returned message that cannot be read is as good as none.
func returnedHeader(p *Part) Header {
	if !slices.Contains(returnedTypes, p.MediaType) {
		return nil
	}
	body, err := p.Decoded()
	if err != nil {
		return nil
	}
	m, err := ReadMessage(body, body.Size())
	if err != nil {
		return nil
	}
	return m.Header
}

// fieldGroups reads groups of header fields with empty lines between them (RFC
// 3464 section 2.1). Their size is limited like that of all header sections of a
// message.
func fieldGroups(p *Part) ([]Header, error) {
	content, err := io.ReadAll(io.LimitReader(p.Content(), maxPartHeaders+1))
	if err != nil {
		return nil, err
	}
	var groups []Header
	var group headerReader
	cost := 0
	for line := range strings.Lines(string(content) + "\n\n") {
		if cost += len(line) + lineCost; cost > maxPartHeaders {
			return nil, errors.New("too large")
		}
		line = strings.TrimRight(line, "\r\n")
		switch {
		case line != "":
			if err := group.add(line); err != nil {
				return nil, err
			}
		case len(group.header) > 0:
			groups = append(groups, group.end())
			group = headerReader{}
		}
	}
	return groups, nil
}

// readStatus: the first group is about the message, each other about a
// recipient.
func readStatus(groups []Header) (*DSN, error) {
	if len(groups) < 2 {
		return nil, errors.New("delivery status reports no recipient")
	}
	dsn := &DSN{ReportingMTA: typedText(groups[0].Get("Reporting-MTA"))}
	for _, group := range groups[1:] {
		r, err := readRecipient(group)
		if err != nil {
			return nil, err
		}
		dsn.Recipients = append(dsn.Recipients, r)
	}
	return dsn, nil
}

// enhancedStatus is RFC 3463 section 2; a comment may follow.
var enhancedStatus = regexp.MustCompile(`^[245]\.[0-9]{1,3}\.[0-9]{1,3}\b`)

func readRecipient(group Header) (DSNRecipient, error) {
	for _, name := range []string{"Final-Recipient", "Original-Recipient", "Action", "Status", "Diagnostic-Code", "Remote-MTA"} {
		if group.Count(name) > 1 {
			return DSNRecipient{}, fmt.Errorf("delivery status has a second field %s", name)
		}
	}
	r := DSNRecipient{
		Final: typedAddress(group.Get("Final-Recipient")), Original: typedAddress(group.Get("Original-Recipient")),
		Status:     enhancedStatus.FindString(group.Get("Status")),
		Diagnostic: typedText(group.Get("Diagnostic-Code")), RemoteMTA: typedText(group.Get("Remote-MTA")),
	}
	// Sendmail has comments: relayed (to non-DSN-aware mailer).
	action, _, _ := strings.Cut(oneLine(group.Get("Action")), " ")
	r.Action = DSNAction(strings.ToLower(action))
	if r.Final == "" || r.Action == "" {
		return DSNRecipient{}, errors.New("delivery status reports a recipient without address or action")
	}
	return r, nil
}

// typed takes apart what RFC 3464 section 2.1.2 writes as type; value.
func typed(field string) (kind, value string) {
	kind, value, _ = strings.Cut(field, ";")
	return strings.ToLower(strings.TrimSpace(kind)), strings.TrimSpace(value)
}

// typedAddress is a mail address; empty where it is one of another kind.
func typedAddress(field string) string {
	kind, value := typed(field)
	if kind != "rfc822" && kind != "utf-8" {
		return ""
	}
	return trimBrackets(withoutControls(strings.ToValidUTF8(value, "\uFFFD")))
}

// typedText is the value without its type, on one line.
func typedText(field string) string {
	_, value := typed(field)
	return oneLine(value)
}

// oneLine takes folding and control characters out of a text from outside.
func oneLine(s string) string {
	return strings.Join(strings.Fields(withoutControls(strings.ToValidUTF8(s, "\uFFFD"))), " ")
}
