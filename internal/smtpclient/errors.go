package smtpclient

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"syscall"
	"unicode"

	"github.com/emersion/go-smtp"

	"github.com/pec-milter/pec-milter/internal/point"
)

// Stage is how far a transaction came.
type Stage string

// The stages, in their order.
const (
	StageAddress   Stage = "address"    // nothing was sent
	StageConnect   Stage = "connecting" // no connection
	StageHello     Stage = "greeting"   // the server's greeting, EHLO or LHLO
	StageMail      Stage = "MAIL"
	StageRecipient Stage = "RCPT"
	StageData      Stage = "DATA"
	StageMessage   Stage = "sending the message"
	StageReply     Stage = "reply to the message" // after the final dot
)

// Error says where a transaction ended.
type Error struct {
	Server string // "unix:/run/dovecot/lmtp"
	Stage  Stage
	// Reply is the server's refusal of this message, 4xx or 5xx, from MAIL on.
	// It is nil where the connection failed and where the server refused
	// before it knew of the message: both say nothing about the message.
	Reply *point.Reply
	// Closed means that the server ended the connection, by 421 or without a
	// word, and does not have the message: a fresh connection may do better. (It
	// was idle for too long, or the server is being restarted.)
	Closed bool
	Err    error // the cause; never a *point.Reply
}

// Error names server, stage and cause.
func (e *Error) Error() string { return fmt.Sprintf("%s: %s: %v", e.Server, e.Stage, e.Err) }

// Unwrap gives the cause. It hides Reply: for most callers any failure is
// temporary, and a *point.Reply might be permanent.
func (e *Error) Unwrap() error { return e.Err }

// closed tells whether the server ended a connection at a stage, and does not
// have the message.
func closed(stage Stage, err error, answer *smtp.SMTPError) bool {
	if answer != nil {
		return answer.Code == 421
	}
	gone := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
	return gone && stage != StageReply
}

// refusal is the answer as a reply about the message, or nil.
func refusal(stage Stage, answer *smtp.SMTPError) *point.Reply {
	class := answer.Code / 100
	if stage == StageHello || class != 4 && class != 5 {
		return nil
	}
	return &point.Reply{Code: answer.Code, Status: status(answer), Text: oneLine(answer.Message)}
}

// answerText is a server's answer for the log.
func answerText(answer *smtp.SMTPError) string {
	return fmt.Sprintf("%d %s %s", answer.Code, status(answer), oneLine(answer.Message))
}

// status is the enhanced status code of an answer, X.0.0 where it has none or
// one of another class (RFC 2034 section 4).
func status(answer *smtp.SMTPError) string {
	code, class := answer.EnhancedCode, answer.Code/100
	if code[0] != class || code[1] < 0 || code[2] < 0 {
		code = smtp.EnhancedCode{class, 0, 0}
	}
	return fmt.Sprintf("%d.%d.%d", code[0], code[1], code[2])
}

// oneLine is a server's text as one line of valid UTF-8.
func oneLine(text string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, text))
}

// pathSyntax is what may stand between the angle brackets of MAIL and RCPT (RFC 5321
// section 4.1.2) so that the server reads the same back: no control characters
// at all; brackets, blanks and quotes only inside a quoted local part. It is
// wider than the RFC everywhere else: whether the mailbox exists is the
// server's business.
var pathSyntax = regexp.MustCompile(`^("([^"\\[:cntrl:]]|\\[^[:cntrl:]])*"@)?[^"\\<>\s[:cntrl:]]*$`)

func validPath(address string) bool { return pathSyntax.MatchString(address) }
