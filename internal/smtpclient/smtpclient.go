// Package smtpclient hands one message for one recipient to an SMTP server
// (RFC 5321) or an LMTP server (RFC 2033): the mailbox store, the injection
// port. Each message has a connection of its own unless Server.Keep says otherwise;
// no message is tried twice on a new one.
//
// The message streams, and its bytes arrive as they are with two exceptions,
// neither of which a message that came through an MTA can meet: an LF without
// its CR travels as CRLF (RFC 5321 section 2.3.8 allows nothing else, and it
// could smuggle an end of data), and CR CR LF gets a third CR. A message that
// does not end with CRLF arrives with one.
package smtpclient

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/emersion/go-smtp"
)

// Server is where messages are handed to. It is safe for concurrent use, and must
// not be copied once it was used.
type Server struct {
	Network string        // "tcp" or "unix"
	Address string        // host:port, or the path of the socket
	LMTP    bool          // LHLO and LMTP, else EHLO and SMTP
	Name    string        // our name in EHLO or LHLO
	Timeout time.Duration // for one message, connecting included; must be positive
	// Keep is how many connections may wait for the next message, for keepTime at
	// most; zero: none. If the server has closed one meanwhile, and does not have the
	// message, that is written again, on a new connection.
	Keep int

	idle idle
}

// Send hands over one message and returns the text of the server's reply to
// it, in one line. The reverse path is empty for <>. Every error is an *Error.
//
// An error at StageReply with no Reply leaves open whether the server has the
// message: who calls again may send it twice. After any other error the server
// does not have it: the final dot was not sent, or was answered by a refusal.
func (s *Server) Send(ctx context.Context, reversePath, recipient string, message io.WriterTo) (string, error) {
	for _, path := range []string{reversePath, recipient} {
		if !validPath(path) {
			return "", s.failure(StageAddress, fmt.Errorf("%q cannot be sent in an SMTP command", path))
		}
	}
	ctx, cancel := s.bound(ctx)
	defer cancel()
	if c := s.idle.take(); c != nil {
		text, err := s.sendOver(ctx, c, reversePath, recipient, message)
		if failed := (*Error)(nil); !errors.As(err, &failed) || !failed.Closed {
			return text, err
		} // the server has closed it since: a new one then
	}
	c, err := s.connect(ctx)
	if err != nil {
		return "", err
	}
	return s.sendOver(ctx, c, reversePath, recipient, message)
}

// sendOver hands over one message on a connection, and keeps that or ends it.
func (s *Server) sendOver(ctx context.Context, c *connection, reversePath, recipient string, message io.WriterTo) (text string, err error) {
	err = s.within(ctx, c, func() (stage Stage, err error) {
		text, stage, err = s.converse(c, reversePath, recipient, message)
		return stage, err
	})
	if err != nil {
		return "", err
	}
	s.idle.keep(c, s.Keep)
	return oneLine(text), nil
}

// bound is the time that there is for one message.
func (s *Server) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, s.Timeout, fmt.Errorf("not done within %v", s.Timeout))
}

func (s *Server) connect(ctx context.Context) (*connection, error) {
	conn, err := new(net.Dialer).DialContext(ctx, s.Network, s.Address)
	if err != nil {
		return nil, s.failure(StageConnect, err)
	}
	return &connection{Client: s.client(conn)}, nil
}

// within holds a conversation in the time there is; one that fails ends the
// connection. talk tells in which stage it failed.
func (s *Server) within(ctx context.Context, c *connection, talk func() (Stage, error)) error {
	// go-smtp sets and clears deadlines of its own and has none while the
	// message is written: closing the connection ends whatever is under way.
	stop := context.AfterFunc(ctx, func() { c.Close() })
	stage, err := talk()
	c.ended = !stop()
	if err == nil {
		return nil
	}
	c.Close()
	if context.Cause(ctx) != nil {
		err = context.Cause(ctx)
	}
	return s.failure(stage, err)
}

// converse holds one transaction and tells in which stage it failed. It never
// sends the final dot of a message that was not written whole.
func (s *Server) converse(c *connection, reversePath, recipient string, message io.WriterTo) (string, Stage, error) {
	if err := c.greet(s.Name); err != nil {
		return "", StageHello, err
	}
	if err := c.Mail(reversePath, nil); err != nil {
		return "", StageMail, err
	}
	if err := c.Rcpt(recipient, nil); err != nil {
		return "", StageRecipient, err
	}
	data, err := c.Data()
	if err != nil {
		return "", StageData, err
	}
	if _, err := message.WriteTo(data); err != nil {
		return "", StageMessage, err
	}
	text, err := s.finish(data, recipient)
	if err != nil {
		return "", StageReply, err
	}
	return text, "", nil
}

func (s *Server) client(conn net.Conn) *smtp.Client {
	open := smtp.NewClient
	if s.LMTP {
		open = smtp.NewClientLMTP
	}
	client := open(conn)
	// Later than the end of the whole, which tells the cause better.
	client.CommandTimeout, client.SubmissionTimeout = 2*s.Timeout, 2*s.Timeout
	return client
}

// finish sends the final dot and reads the reply.
func (s *Server) finish(data *smtp.DataCommand, recipient string) (string, error) {
	if !s.LMTP {
		reply, err := data.CloseWithResponse()
		if err != nil {
			return "", err
		}
		return reply.StatusText, nil
	}
	replies, err := data.CloseWithLMTPResponse()
	if err != nil {
		return "", err
	}
	return replies[recipient].StatusText, nil
}

// failure makes the error of a stage.
func (s *Server) failure(stage Stage, err error) *Error {
	failed := &Error{Server: s.Network + ":" + s.Address, Stage: stage, Err: err}
	var answer *smtp.SMTPError
	if errors.As(err, &answer) {
		failed.Err = errors.New(answerText(answer))
		failed.Reply = refusal(stage, answer)
	}
	failed.Closed = closed(stage, err, answer)
	return failed
}
