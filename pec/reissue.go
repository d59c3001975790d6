package pec

import (
	"fmt"
	"strings"
	"time"
)

// HeaderReissue is a header field of ours, not of the RFC: it says of a notice that
// was made again from the log which one it reproduces.
const HeaderReissue = "X-PEC-Milter-Riemissione"

// Reissue is how a notice is made again from the legal log, when its receiver has
// lost it (RFC 6109 section 2.3).
type Reissue struct {
	Time time.Time // now: when it is signed, and sent at the earliest
	ID   string    // its own Message-ID, without <>
}

// NewReissue makes a notice again: with the certification data, and so the date, of
// the first time, but dated and signed now. Its text and HeaderReissue say so. The
// original message, which n had if it is a Delivery of type Complete or Brief, is
// not in the log: the text says that too. The errors are those of NewNotice.
func NewReissue(n Notice, again Reissue, by Issuer) (*Draft, error) {
	n.Original = nil
	draft, err := NewNotice(n, by)
	if err != nil {
		return nil, err
	}
	statement, err := filled("riemissione", textFacts{
		Today: lowerFirst(readableDate(again.Time)), Provider: withoutControls(by.Name), NoticeID: withoutControls(n.ID),
		Issued:   LegalTime(n.Data.Time).Format(dayLayout + " " + hourLayout + " (" + zoneLayout + ")"),
		Enclosed: n.Data.Kind == Delivery && n.Type != Concise,
	})
	if err != nil {
		return nil, err
	}
	// The last line, the identifier, stays the last one.
	last := strings.LastIndexByte(strings.TrimSuffix(draft.text, "\n"), '\n') + 1
	draft.text = draft.text[:last] + statement + draft.text[last:]
	draft.at = again.Time
	draft.Header = again.header(draft.Header, &n)
	return draft, nil
}

// header has the date and the id of the re-issue, and says what it reproduces.
func (r *Reissue) header(h Header, n *Notice) Header {
	var own Header
	for _, f := range h {
		switch f.Name {
		case "Date":
			f = NewField("Date", headerDate(r.Time))
		case "Message-ID":
			f = NewField("Message-ID", "<"+r.ID+">")
		case "Auto-Submitted":
			own = append(own, NewField(HeaderReissue, fmt.Sprintf("<%s>; %s", n.ID, headerDate(n.Data.Time))))
		}
		own = append(own, f)
	}
	return own
}

func lowerFirst(s string) string { return strings.ToLower(s[:1]) + s[1:] }
