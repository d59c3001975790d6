package integration

import (
	"bytes"
	"io"
	"net/smtp"
)

// Mail is one SMTP transaction of a client.
type Mail struct {
	User string // who authenticates; empty: nobody
	From string // reverse path
	To   []string
	// Message is the message with CRLF line ends; its dots are doubled on the way.
	Message io.Reader
}

// NewMail is a transaction of a user who writes under his own address.
func NewMail(message []byte, from string, to ...string) Mail {
	return Mail{User: from, From: from, To: to, Message: bytes.NewReader(message)}
}

// Submit hands a message to the site's submission port, as a mail client does:
// STARTTLS, then SASL unless there is no user. nil means that the server
// answered 250 to the message; a refusal is a *textproto.Error.
func (s *Site) Submit(m Mail) error {
	client, err := smtp.Dial(address(s.Ports.Submission))
	if err != nil {
		return err
	}
	defer client.Close()
	if err := client.Hello("client.example"); err != nil {
		return err
	}
	if err := client.StartTLS(s.TLS()); err != nil {
		return err
	}
	if m.User != "" {
		// "127.0.0.1" is what Dial has told the client that the server's name is;
		// the certificate was verified for the real one.
		if err := client.Auth(smtp.PlainAuth("", m.User, Password, "127.0.0.1")); err != nil {
			return err
		}
	}
	return transmit(client, m)
}

// Send hands a message to the site's port 25, as another mail server does.
func (s *Site) Send(m Mail) error { return sendTo(s.Ports.SMTP, m) }

// SendInject hands a message to the provider's port that has no milter.
func (p *Provider) SendInject(m Mail) error { return sendTo(p.Ports.Inject, m) }

func sendTo(port int, m Mail) error {
	client, err := smtp.Dial(address(port))
	if err != nil {
		return err
	}
	defer client.Close()
	if err := client.Hello("client.example"); err != nil {
		return err
	}
	return transmit(client, m)
}

// transmit does one transaction and takes leave.
func transmit(client *smtp.Client, m Mail) error {
	if err := client.Mail(m.From); err != nil {
		return err
	}
	for _, recipient := range m.To {
		if err := client.Rcpt(recipient); err != nil {
			return err
		}
	}
	data, err := client.Data()
	if err != nil {
		return err
	}
	if _, err := io.Copy(data, m.Message); err != nil {
		return err // without the final dot the server takes nothing
	}
	if err := data.Close(); err != nil {
		return err
	}
	_ = client.Quit() // the message is the server's
	return nil
}
