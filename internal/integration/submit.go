package integration

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/smtp"
	"os/exec"
	"slices"
	"strings"
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
	client, err := s.logIn(m.User)
	if err != nil {
		return err
	}
	defer client.Close()
	return transmit(client, m)
}

// logIn connects to the site's submission port.
func (s *Site) logIn(user string) (client *smtp.Client, err error) {
	if client, err = smtp.Dial(address(s.Ports.Submission)); err != nil {
		return nil, err
	}
	err = client.Hello("client.example")
	if err == nil {
		err = client.StartTLS(s.TLS())
	}
	if err == nil && user != "" {
		// "127.0.0.1" is what Dial has told the client that the server's name is;
		// the certificate was verified for the real one.
		err = client.Auth(smtp.PlainAuth("", user, Password, "127.0.0.1"))
	}
	if err != nil {
		return nil, errors.Join(err, client.Close())
	}
	return client, nil
}

// SubmitLines sends lines of SMTP to the submission port, once the user has
// authenticated, and gives the replies, one a line.
func (s *Site) SubmitLines(user string, lines []string) (string, error) {
	client, err := s.logIn(user)
	if err != nil {
		return "", err
	}
	defer client.Close()
	var replies strings.Builder
	for _, line := range lines {
		if err := client.Text.PrintfLine("%s", line); err != nil {
			return replies.String(), err
		}
		code, text, err := client.Text.ReadResponse(0)
		if err != nil && code == 0 {
			return replies.String(), err
		}
		fmt.Fprintf(&replies, "%d %s\n", code, text)
	}
	return replies.String(), nil
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

// Sendmail hands a message to sendmail(1), as a program of the machine does.
func (p *Provider) Sendmail(m Mail) error {
	message, err := io.ReadAll(m.Message)
	if err != nil {
		return err
	}
	command := slices.Concat(p.server().local(), []string{"-i", "-f", m.From}, m.To)
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Stdin = bytes.NewReader(bytes.ReplaceAll(message, []byte("\r\n"), []byte("\n")))
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("sendmail: %w\n%s", err, out)
	}
	return nil
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
