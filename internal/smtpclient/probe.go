package smtpclient

import (
	"context"
	"net"
)

// Probe goes as far with a server as it can without sending a message: it
// greets, and if there are recipients it names the reverse path and them, and
// hangs up. Every error is an *Error.
func (s *Server) Probe(ctx context.Context, reversePath string, recipients ...string) error {
	return s.within(ctx, func(conn net.Conn) (Stage, error) { return s.probe(conn, reversePath, recipients) })
}

func (s *Server) probe(conn net.Conn, reversePath string, recipients []string) (Stage, error) {
	client := s.client(conn)
	if err := client.Hello(s.Name); err != nil {
		return StageHello, err
	}
	if len(recipients) > 0 {
		if err := client.Mail(reversePath, nil); err != nil {
			return StageMail, err
		}
	}
	for _, recipient := range recipients {
		if err := client.Rcpt(recipient, nil); err != nil {
			return StageRecipient, err
		}
	}
	client.CommandTimeout = quitTimeout
	_ = client.Quit() // the replies above are what counts
	return "", nil
}
