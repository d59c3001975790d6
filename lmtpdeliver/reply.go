package lmtpdeliver

import (
	"errors"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/emersion/go-smtp"

	"github.com/pec-milter/pec-milter/internal/point"
)

// The replies that are ours. What the MTA sees of an error that is not a reply
// is tryAgain.
var (
	done     = &point.Reply{Code: 250, Status: "2.1.5", Text: "done"}
	tryAgain = &point.Reply{Code: 451, Status: "4.3.0", Text: "temporary failure, try again later"}
	nested   = &point.Reply{Code: 503, Status: "5.5.1", Text: "nested MAIL"}
	noBDAT   = &point.Reply{Code: 502, Status: "5.5.1", Text: "BDAT is not offered"}
	tooLarge = &point.Reply{Code: 552, Status: "5.3.4", Text: "message is too large"}
)

// reply logs how a step ended, whole, and gives what the MTA is told of it.
func (s *Server) reply(t *transaction, event string, err error, attributes ...any) *smtp.SMTPError {
	told, took := answer(err), s.took(t)
	log := s.config.Log.With("queue_id", t.QueueID, "event", event, "id", t.ID, "result", told.Code,
		"ms", took.Milliseconds()).With(attributes...)
	switch {
	case err == nil && event == "RCPT":
		log.Debug("done")
	case err == nil:
		log.Info("done")
	case errors.As(err, new(*point.Reply)):
		log.Info("refused", "error", err)
	default:
		log.Error("temporary failure", "error", err)
	}
	if s.config.Replied != nil && (err != nil || event != "RCPT") {
		s.config.Replied(event, told.Code, took)
	}
	return told
}

// took is how long the whole message has been worked on; 0: there is none yet.
func (s *Server) took(t *transaction) time.Duration {
	if t.Time.IsZero() {
		return 0
	}
	return s.config.Clock().Sub(t.Time)
}

// answer is what the MTA is told of an error, nil for none.
func answer(err error) *smtp.SMTPError {
	reply := tryAgain
	if err == nil {
		reply = done
	} else if told := (*point.Reply)(nil); errors.As(err, &told) && mayTell(told.Code) {
		reply = told
	}
	code := reply.Code
	if code == 421 { // would end the session for the other recipients too
		code = 451
	}
	return &smtp.SMTPError{Code: code, EnhancedCode: enhancedCode(code, reply.Status), Message: oneLine(reply.Text)}
}

func mayTell(code int) bool { return code == 250 || code >= 400 && code <= 599 }

// enhancedCode reads "5.1.1"; X.0.0 where the status is none, or one of another
// class than the code (RFC 2034 section 4).
func enhancedCode(code int, status string) smtp.EnhancedCode {
	class := code / 100
	read := smtp.EnhancedCode{class, 0, 0}
	parts := strings.Split(status, ".")
	if len(parts) != 3 || parts[0] != strconv.Itoa(class) {
		return read
	}
	for i, part := range parts {
		n, err := strconv.ParseUint(part, 10, 16)
		if err != nil {
			return smtp.EnhancedCode{class, 0, 0}
		}
		read[i] = int(n)
	}
	return read
}

// oneLine keeps a text from being more than one line of a reply.
func oneLine(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, text)
}
