package smtpclient

import "context"

// Probe goes as far with a server as it can without sending a message: it
// greets, and if there are recipients it names the reverse path and them, and
// hangs up. Every error is an *Error.
func (s *Server) Probe(ctx context.Context, reversePath string, recipients ...string) error {
	ctx, cancel := s.bound(ctx)
	defer cancel()
	c, err := s.connect(ctx)
	if err != nil {
		return err
	}
	err = s.within(ctx, c, func() (Stage, error) { return s.probe(c, reversePath, recipients) })
	if err == nil {
		c.quit() // the replies are what counts
	}
	return err
}

func (s *Server) probe(c *connection, reversePath string, recipients []string) (Stage, error) {
	if err := c.greet(s.Name); err != nil {
		return StageHello, err
	}
	if len(recipients) > 0 {
		if err := c.Mail(reversePath, nil); err != nil {
			return StageMail, err
		}
	}
	for _, recipient := range recipients {
		if err := c.Rcpt(recipient, nil); err != nil {
			return StageRecipient, err
		}
	}
	return "", nil
}
