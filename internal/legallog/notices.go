package legallog

import (
	"slices"
	"strings"

	"github.com/pec-milter/pec-milter/internal/point"
	"github.com/pec-milter/pec-milter/pec"
)

// Notices are the rows of the notices that we have issued about a message, each once:
// the row that says that it is in the queue, or if there is none (a crash came in
// between, and the notice may have gone out) the one that it was about to be.
func Notices(message []Row) []Row {
	var issued []Row
	for _, row := range message {
		n := slices.IndexFunc(issued, func(r Row) bool { return r.NoticeID == row.NoticeID })
		switch {
		case row.Kind != point.EventIssuing && row.Kind != point.EventIssued:
		case n < 0:
			issued = append(issued, row)
		case row.Kind == point.EventIssued:
			issued[n] = row
		}
	}
	return issued
}

// NoticeOf is what the log has of a notice: all but the original message and how its
// subject was encoded. message has all rows of the message, for the type of receipt
// that was asked for.
func NoticeOf(message []Row, issued *Row) pec.Notice {
	n := pec.Notice{
		Data: pec.CertificationData{
			Kind: issued.Notice, Error: issued.Error, Sender: issued.Sender, Recipients: issued.Recipients, ReplyTo: issued.ReplyTo,
			Subject: issued.Subject, Provider: issued.Provider, Time: issued.Time, ID: issued.ID, Reference: issued.Reference,
			ReceiptType: issued.ReceiptType, Delivered: issued.Delivered, TakenFor: issued.TakenFor, Detail: issued.ErrorDetail,
		},
		ID: issued.NoticeID, To: issued.NoticeTo, Virus: issued.Virus,
		Final: issued.Notice == pec.TimeoutNotice && strings.HasPrefix(issued.ErrorDetail, "5.4.1 "),
	}
	if issued.Notice == pec.Delivery {
		n.Type = issued.ReceiptType
		n.Data.ReceiptType = first(message).ReceiptType
	}
	return n
}
