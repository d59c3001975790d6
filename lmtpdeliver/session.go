package lmtpdeliver

import (
	"fmt"
	"io"
	"runtime/debug"
	"slices"

	"github.com/emersion/go-smtp"

	"github.com/pec-milter/pec-milter/pec"
)

// session is one connection of the MTA, for one message after the other.
type session struct {
	server     *Server
	connection *connection
	t          *transaction // nil between two messages
}

func (s *Server) newSession(c *smtp.Conn) (smtp.Session, error) {
	return &session{server: s, connection: c.Conn().(*connection)}, nil
}

// Mail begins a transaction. go-smtp takes a second MAIL, and would keep the
// recipients of the first.
func (s *session) Mail(from string, options *smtp.MailOptions) error {
	if s.t != nil {
		return answer(nested)
	}
	if options.Size > s.server.config.MaxSize+pec.MaxHeader {
		return answer(tooLarge)
	}
	s.t = s.server.newTransaction(quoted(from))
	return nil
}

// Rcpt takes or refuses a recipient.
func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	t, recipient := s.t, quoted(to)
	err := s.server.askRecipient(t, recipient)
	if reply := s.server.reply(t, "RCPT", err, "recipient", recipient); reply.Code != 250 {
		return reply
	}
	t.Recipients = append(t.Recipients, recipient)
	t.statusKeys = append(t.statusKeys, to)
	return nil
}

// LMTPData takes the message and gives each recipient its reply, one for each
// RCPT, also of the same address.
//
// QUIRK: go-smtp takes a connection that breaks in the middle of a last BDAT
// for the end of the message, and runs this beside the commands that follow.
// CHUNKING is not announced (connection.Write), and BDAT is refused.
func (s *session) LMTPData(r io.Reader, status smtp.StatusCollector) error {
	if _, isBDAT := r.(*io.PipeReader); isBDAT {
		return answer(noBDAT)
	}
	t := s.t
	s.connection.Working(true)
	message := newData(s.connection.in)
	err := t.read(message, s.server.config.Clock)
	s.drain(message)
	if err != nil {
		return s.server.reply(t, "DATA", err)
	}
	recipients := slices.Clone(t.Recipients)
	for i, err := range s.server.askDeliver(t) {
		status.SetStatus(t.statusKeys[i], s.server.reply(t, "delivery", err, "recipient", recipients[i]))
	}
	return nil
}

// drain reads what is left of a message, nothing unless it failed. If it cannot be
// read to its end the connection is out of step, and closed: go-smtp would take the
// rest of the message, which a stranger has written, for commands.
func (s *session) drain(message *data) {
	_, err := io.Copy(io.Discard, message)
	if s.connection.ended = err == nil; err != nil {
		s.connection.Close()
	}
}

// Data is here for go-smtp's interface: with LMTP it calls LMTPData.
func (s *session) Data(io.Reader) error { return answer(tryAgain) }

// Reset ends the transaction; go-smtp calls it also after the last reply.
func (s *session) Reset() {
	s.Logout()
	s.connection.Working(false)
}

// Logout ends the session.
func (s *session) Logout() error {
	if s.t != nil {
		s.t.end()
		s.t = nil
	}
	return nil
}

// askRecipient asks the door about a recipient; a panic is an error.
func (s *Server) askRecipient(t *transaction, recipient string) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = s.panicError(p)
		}
	}()
	return s.config.Door.Recipient(t.ctx, &t.Transaction, recipient)
}

// askDeliver has the door deliver. It gives one result for each recipient,
// whatever the door does.
func (s *Server) askDeliver(t *transaction) (results []error) {
	n := len(t.Recipients)
	defer func() {
		if p := recover(); p != nil {
			results = forAll(n, s.panicError(p))
		}
	}()
	leave, err := s.places.Enter(t.ctx)
	if err != nil {
		return forAll(n, err)
	}
	defer leave()
	results = s.config.Door.Deliver(t.ctx, &t.Transaction)
	if len(results) != n {
		return forAll(n, fmt.Errorf("door gave %d results for %d recipients", len(results), n))
	}
	return results
}

func forAll(n int, err error) []error {
	results := make([]error, n)
	for i := range results {
		results[i] = err
	}
	return results
}

// panicError counts a panic and makes an error of it, which only the log sees.
func (s *Server) panicError(p any) error {
	return fmt.Errorf("panic (number %d since the start): %v\n%s", s.panics.Add(1), p, debug.Stack())
}
