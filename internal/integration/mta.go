package integration

import "path/filepath"

// mta is the mail server of a site.
type mta interface {
	start() (*process, error) // configures it first
	stop() error              // and all that it has started
	kill() error              // the server and what receives mail, with SIGKILL
	addUser(user string) error
	flush() error
	queue() (string, error)
	waiting() ([]string, error)
	local() []string // the command with which a program of the machine sends mail
}

// server is what the site's mail server is: providers have Sendmail where the world
// says so.
func (s *Site) server() mta {
	if s.world.options.Sendmail && !s.ordinary {
		return sendmail{s}
	}
	return postfix{s}
}

// MTA is the name of the site's mail server, for people.
func (s *Site) MTA() string {
	if _, is := s.server().(sendmail); is {
		return "Sendmail"
	}
	return "Postfix"
}

// startMTA configures the mail server and starts it.
func (s *Site) startMTA() (err error) {
	if s.mta, err = s.server().start(); err != nil {
		return err
	}
	return s.waitForServer(s.mta, s.MailLog(), "tcp", address(s.Ports.SMTP))
}

// KillMTA ends the mail server, and what receives mail, with SIGKILL, at once.
func (s *Site) KillMTA() error { return s.server().kill() }

func (s *Site) stopMTA() error {
	if s.mta == nil {
		return nil
	}
	return s.server().stop()
}

// MailLog is what the site's mail server logs.
func (s *Site) MailLog() string { return filepath.Join(s.Dir, "mail.log") }

// Flush makes the mail server try at once all that is in its queue.
func (s *Site) Flush() error { return s.server().flush() }

// Queue is what waits in the queue, as postqueue(1) has it in JSON, one object a line.
// Empty: nothing does.
func (s *Site) Queue() (string, error) { return s.server().queue() }

// Waiting names the messages in the queue. Whoever looks again and again takes it in place
// of Queue, which costs more than what it looks at.
func (s *Site) Waiting() ([]string, error) { return s.server().waiting() }

// refusing is another provider, which refuses mail for any domain but its own; nil:
// there is none.
func (s *Site) refusing() *Provider {
	for _, other := range s.world.Providers {
		if other.Domain != s.Domain {
			return other
		}
	}
	return nil
}
