package pec

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
)

// Limits are what the access point keeps to as its operator wants it. The law
// asks at least 30 MB for size times recipients, and 50 recipients (DM 2-11-2005
// art. 12).
type Limits struct {
	// Total is the largest product of the message's size in bytes and the
	// number of its recipients; 0: no limit.
	Total int64
	// Recipients is the largest number of recipients; 0: no limit.
	Recipients int
	// StrictRecipients demands that To and Cc name no other address than the
	// recipients. RFC 6109 section 3.1.1 can be read so; but clients split
	// submissions.
	StrictRecipients bool
}

// Limits of the header that are not settings: beyond them an MTA on the way
// would change the message (RFC 6109 section 3.1.5: unmodified).
const (
	maxFieldSize = 32 << 10
	maxHeader    = 1 << 20
	maxFields    = 2000
	maxLine      = 998 // RFC 5322 section 2.1.1, without CRLF
)

// FormalExceptions are the reasons why the access point may not accept a
// message (RFC 6109 section 3.1.1), in Italian as they are told to the sender;
// none for a message that conforms. The error is one of reading the body.
func FormalExceptions(m Message, reversePath string, recipients []string, limits Limits) ([]string, error) {
	var reasons []string
	for _, check := range []func(Header) []string{headerSyntax, singleFields, identifiers} {
		reasons = append(reasons, check(m.Header)...)
	}
	reasons = append(reasons, senderExceptions(m.Header, reversePath)...)
	reasons = append(reasons, recipientExceptions(m.Header, recipients, limits.StrictRecipients)...)
	reasons = append(reasons, sizeExceptions(m.Size(), len(recipients), limits)...)
	body, err := bodyExceptions(m.Body)
	if err != nil {
		return nil, err
	}
	structure, err := structureExceptions(m)
	return slices.Concat(reasons, body, structure), err
}

// structureExceptions: what nobody can walk, nobody can scan.
func structureExceptions(m Message) ([]string, error) {
	_, err := Structure(m)
	switch {
	case errors.Is(err, ErrTooDeep), errors.Is(err, ErrTooManyParts):
		return []string{Reason("structure")}, nil
	case err != nil && !errors.Is(err, ErrStructure):
		return nil, err
	}
	return nil, nil
}

// headerSyntax: what no RFC 5322 header has, or what some MTA would change.
func headerSyntax(h Header) []string {
	var reasons []string
	size := 0
	for _, f := range h {
		size += len(f.String())
		switch {
		case !validFieldName(f.Name):
			reasons = append(reasons, Reason("field-name"))
		case len(f.String()) > maxFieldSize:
			reasons = append(reasons, Reason("field-size", f.Name))
		case strings.ContainsFunc(f.Value, func(r rune) bool { return r == 0 || r > 126 }):
			reasons = append(reasons, Reason("field-characters", f.Name))
		case longestLine(f.String()) > maxLine:
			reasons = append(reasons, Reason("field-line", f.Name, maxLine))
		}
	}
	if size > maxHeader || len(h) > maxFields {
		reasons = append(reasons, Reason("header-size"))
	}
	return slices.Compact(reasons)
}

func longestLine(s string) int {
	longest := 0
	for line := range strings.SplitSeq(s, "\r\n") {
		longest = max(longest, len(line))
	}
	return longest
}

// singleFields: fields that RFC 5322 section 3.6 allows once.
func singleFields(h Header) []string {
	var reasons []string
	for _, name := range []string{"From", "Sender", "Reply-To", "To", "Cc", "Message-ID", "Subject", "Date",
		"MIME-Version", "Content-Type", "Content-Transfer-Encoding", HeaderReceiptType} {
		if h.Count(name) > 1 {
			reasons = append(reasons, Reason("field-repeated", name))
		}
	}
	return reasons
}

// maxMessageID leaves room for the name of X-Riferimento-Message-ID, which
// carries it on one line.
const maxMessageID = maxLine - len(HeaderReference) - len(": ")

// messageID is the syntax of a Message-ID, RFC 5322 section 3.6.4, without its
// obsolete forms.
var messageID = regexp.MustCompile(`^<[!#-'*+\-/-9=?A-Z^-~.]+@([!#-'*+\-/-9=?A-Z^-~.]+|\[[!-Z^-~]*\])>$`)

func identifiers(h Header) []string {
	var reasons []string
	if id := MessageID(h); h.Count("Message-ID") > 0 && (len(id) > maxMessageID || !messageID.MatchString(id)) {
		reasons = append(reasons, Reason("field-invalid", "Message-ID"))
	}
	if slices.ContainsFunc(h.All("Bcc"), func(f Field) bool { return f.Text() != "" }) {
		reasons = append(reasons, Reason("bcc"))
	}
	return reasons
}

func senderExceptions(h Header, reversePath string) []string {
	from, err := Addresses(h, "From")
	switch {
	case err != nil || len(from) != 1:
		return []string{Reason("from-address")}
	case !SameAddress(from[0], reversePath):
		return []string{Reason("from-sender")}
	}
	if _, err := Addresses(h, "Reply-To"); err != nil {
		return []string{Reason("field-invalid", "Reply-To")}
	}
	return nil
}

// recipientExceptions: the forward paths must be in To or Cc; where strict, these
// name nobody else.
func recipientExceptions(h Header, recipients []string, strict bool) []string {
	to, errTo := Addresses(h, "To")
	cc, errCc := Addresses(h, "Cc")
	if errTo != nil || len(to) == 0 {
		return []string{Reason("to-addresses")}
	}
	if errCc != nil {
		return []string{Reason("field-invalid", "Cc")}
	}
	named := slices.Concat(to, cc)
	reasons := addressReasons("not-addressed", recipients, named)
	if strict {
		reasons = append(reasons, addressReasons("not-recipient", named, recipients)...)
	}
	return reasons
}

// addressReasons is a reason for each address that a list lacks.
func addressReasons(reason string, addresses, list []string) (reasons []string) {
	known := AddressSet{}
	for _, address := range list {
		known.Add(address)
	}
	for _, address := range addresses {
		if known.Add(address) {
			reasons = append(reasons, Reason(reason, withoutControls(address)))
		}
	}
	return reasons
}

func sizeExceptions(size int64, recipients int, limits Limits) []string {
	var reasons []string
	if limits.Total > 0 && size*int64(recipients) > limits.Total {
		reasons = append(reasons, Reason("size"))
	}
	if limits.Recipients > 0 && recipients > limits.Recipients {
		reasons = append(reasons, Reason("recipients"))
	}
	return reasons
}

// bodyExceptions: a line that some MTA would fold, or a NUL, and the signature
// would break on the way.
func bodyExceptions(body Body) ([]string, error) {
	if body == nil {
		return nil, nil
	}
	in := bufio.NewReaderSize(section(body), bufferFor(body, 64<<10))
	var reasons []string
	length, long, nul := 0, false, false
	for {
		piece, err := in.ReadSlice('\n')
		nul = nul || bytes.IndexByte(piece, 0) >= 0
		length += len(bytes.TrimRight(piece, "\r\n"))
		long = long || length > maxLine
		if err == nil {
			length = 0
		} else if err == io.EOF {
			break
		} else if err != bufio.ErrBufferFull {
			return nil, fmt.Errorf("reading the body: %w", err)
		}
	}
	if long {
		reasons = append(reasons, Reason("line", maxLine))
	}
	if nul {
		reasons = append(reasons, Reason("characters"))
	}
	return reasons, nil
}
