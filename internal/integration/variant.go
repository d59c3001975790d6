package integration

import (
	"fmt"
	"time"
)

// Variant is how a provider differs from what the stories have. Its zero value is
// what they have.
type Variant struct {
	NoAntivirus bool
	KeyFile     bool // the key is in a file, not on a SoftHSM token
	// SlowToken is how long the token takes for a signature, one after the other; 0: as
	// long as SoftHSM does, as many at once as there are cores.
	SlowToken time.Duration
	TCP       bool   // the access door's milter listens on TCP
	Mailbox   string // unix socket of an LMTP server in place of Dovecot's; empty: Dovecot's
	Unlogged  bool   // a pec-milter of the tag measured writes no legal log
	LogLevel  string // of pec-milter; empty: debug
}

func (s *Site) variant() Variant {
	if s.world.options.Variant == nil {
		return Variant{}
	}
	return s.world.options.Variant(s.Name)
}

// submitOverTCP has the submission services find the access door at its port.
func (s *Site) submitOverTCP() error {
	for _, port := range []int{s.Ports.Submission, s.Ports.Submissions} {
		setting := fmt.Sprintf("%s/inet/smtpd_milters=inet:%s", address(port), address(s.Ports.Access))
		if _, err := run(nil, "postconf", "-c", s.postfixDir(), "-P", setting); err != nil {
			return err
		}
	}
	return nil
}
