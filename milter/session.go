package milter

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	gomilter "github.com/d--j/go-milter"

	"github.com/pec-milter/pec-milter/internal/point"
)

// session is one connection of the MTA: the library calls its methods one after
// the other, for one message after the other. No method may panic, for that would
// end the process: those that do more than reset recover.
type session struct {
	gomilter.NoOpMilter // Connect, Headers, Unknown: not asked for
	server              *Server
	tls                 string       // what the connection speaks, as at HELO; empty: in clear
	t                   *transaction // nil between two messages
}

// errOutOfTurn means that the MTA does not follow the protocol.
var errOutOfTurn = errors.New("out of turn: no transaction has begun")

// Helo remembers whether the client speaks TLS: the MTA tells it here, and the
// library forgets it after the first message of a connection.
func (s *session) Helo(_ string, m gomilter.Modifier) (*gomilter.Response, error) {
	s.tls = m.Get(gomilter.MacroTlsVersion)
	return gomilter.RespContinue, nil
}

// MailFrom begins a transaction. Mail that is not ours is accepted at once:
// Postfix and Sendmail then show nothing more of this message, and begin afresh
// with the next.
func (s *session) MailFrom(from, _ string, m gomilter.Modifier) (resp *gomilter.Response, _ error) {
	defer s.recovered("MAIL", &resp)
	s.reset()
	s.t = newTransaction(&s.server.config, from, m)
	s.t.TLS = s.tls
	ctx, cancel := context.WithTimeout(s.server.base, commandTimeout)
	defer cancel()
	handling, err := s.server.config.Door.Mail(ctx, &s.t.Transaction)
	switch {
	case err != nil:
		resp = s.refuse("MAIL", err)
		s.reset()
		return resp, nil
	case handling == point.Untouched:
		s.log("MAIL", 0).Debug("passes untouched", "sender", from)
		s.reset()
		return gomilter.RespAccept, nil
	}
	return gomilter.RespContinue, nil
}

// RcptTo takes or refuses a recipient.
//
// QUIRK: an accept is never the answer here: Sendmail takes it for the whole
// message, and shows nothing more of it.
func (s *session) RcptTo(recipient, _ string, m gomilter.Modifier) (resp *gomilter.Response, _ error) {
	defer s.recovered("RCPT", &resp)
	if s.t == nil {
		return s.refuse("RCPT", errOutOfTurn), nil
	}
	ctx, cancel := context.WithTimeout(s.server.base, commandTimeout)
	defer cancel()
	handling, err := s.server.config.Door.Recipient(ctx, &s.t.Transaction, recipient)
	if err == nil {
		err = s.t.addRecipient(recipient, handling)
	}
	if err != nil {
		return s.refuse("RCPT", err, "recipient", recipient), nil
	}
	return gomilter.RespContinue, nil
}

// Data comes when all recipients are known: here mail that is not ours goes its
// way, before any of it is shown to us.
func (s *session) Data(m gomilter.Modifier) (resp *gomilter.Response, _ error) {
	defer s.recovered("DATA", &resp)
	if s.t == nil {
		return s.refuse("DATA", errOutOfTurn), nil
	}
	s.t.readQueueID(m)
	if s.t.untouched {
		s.log("DATA", 0).Debug("passes untouched", "recipients", s.t.Recipients)
		s.reset()
		return gomilter.RespAccept, nil
	}
	return gomilter.RespContinue, nil
}

// Header takes a header field; no answer reaches the MTA.
func (s *session) Header(name, value string, _ gomilter.Modifier) (resp *gomilter.Response, _ error) {
	defer s.recovered("header field", &resp)
	if s.t != nil {
		s.t.addField(name, value)
	}
	return gomilter.RespContinue, nil
}

// BodyChunk takes a piece of the body; no answer reaches the MTA.
func (s *session) BodyChunk(chunk []byte, _ gomilter.Modifier) (resp *gomilter.Response, _ error) {
	defer s.recovered("body", &resp)
	if s.t != nil {
		s.t.addBody(chunk)
	}
	return gomilter.RespContinue, nil
}

// EndOfMessage has the door decide, and changes the message.
func (s *session) EndOfMessage(m gomilter.Modifier) (resp *gomilter.Response, _ error) {
	defer s.reset()
	defer s.recovered("end of message", &resp)
	if s.t == nil {
		return s.refuse("end of message", errOutOfTurn), nil
	}
	ctx, cancel := context.WithTimeout(s.server.base, s.server.deadline())
	defer cancel()
	s.t.readQueueID(m)
	s.t.shown = s.server.config.Clock()
	resp, err := s.decide(ctx, m)
	if err != nil {
		return s.refuse("end of message", err), nil
	}
	s.replied("end of message", 250)
	s.log("end of message", 250).Info("done", "id", s.t.ID, "answer", resp.String())
	return resp, nil
}

// Abort ends a transaction early. Postfix sends it after each message, also one
// that it has taken: there is nothing left to undo then.
func (s *session) Abort(gomilter.Modifier) error {
	s.reset()
	return nil
}

// Cleanup comes when the connection has ended.
func (s *session) Cleanup(gomilter.Modifier) { s.reset() }

func (s *session) reset() {
	if s.t != nil {
		s.t.free()
		s.t = nil
	}
}

// recovered, deferred by the callbacks, makes a temporary failure of a panic,
// for this event and for the message.
func (s *session) recovered(event string, resp **gomilter.Response) {
	p := recover()
	if p == nil {
		return
	}
	err := s.server.panicError(p)
	*resp = s.refuse(event, err)
	if s.t != nil {
		s.t.failed = err
	}
}

// panicError counts a panic and makes an error of it, which only the log sees.
func (s *Server) panicError(p any) error {
	return fmt.Errorf("panic (number %d since the start): %v\n%s", s.panics.Add(1), p, debug.Stack())
}

// log gives the logger for what is said about a message: its lines begin with the
// queue id. result is the SMTP code; 0: there is no answer.
func (s *session) log(event string, result int) *slog.Logger {
	log := s.server.config.Log
	if s.t != nil {
		log = log.With("queue_id", s.t.QueueID)
	}
	if log = log.With("event", event); result != 0 {
		log = log.With("result", result)
	}
	if took := s.took(); took > 0 {
		log = log.With("ms", took.Milliseconds())
	}
	return log
}

// refuse logs an error whole and makes of it what the client sees.
func (s *session) refuse(event string, err error, attributes ...any) *gomilter.Response {
	reply, told := replyTo(err)
	log := s.log(event, reply.Code).With(attributes...)
	if told {
		log.Info("refused", "error", err)
	} else {
		log.Error("temporary failure", "error", err)
	}
	s.replied(event, reply.Code)
	return response(reply)
}

// replied tells of a reply.
func (s *session) replied(event string, code int) {
	if tell := s.server.config.Replied; tell != nil {
		tell(event, code, s.took())
	}
}

// took is how long the whole message has been worked on; 0: there is none yet.
func (s *session) took() time.Duration {
	if s.t == nil || s.t.shown.IsZero() {
		return 0
	}
	return s.server.config.Clock().Sub(s.t.shown)
}

// replyTo is the reply that an error tells (told), or that of any other error.
func replyTo(err error) (reply *point.Reply, told bool) {
	if errors.As(err, &reply) && reply.Code >= 400 && reply.Code <= 599 {
		return reply, true
	}
	return &point.Reply{Code: 451, Status: "4.3.0", Text: "temporary failure, try again later"}, false
}

func response(r *point.Reply) *gomilter.Response {
	resp, err := gomilter.RejectWithCodeAndReason(uint16(r.Code), r.Status+" "+r.Text)
	if err != nil { // a text that cannot be told
		return gomilter.RespTempFail
	}
	return resp
}
