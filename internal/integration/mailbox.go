package integration

import (
	"bytes"
	"fmt"
	"io"
	"time"

	"github.com/emersion/go-imap"
	"github.com/emersion/go-imap/client"

	"github.com/pec-milter/pec-milter/pec"
)

// Mailbox is a user's INBOX, read over IMAP.
type Mailbox struct {
	Address string

	client *client.Client
	seen   uint32 // the highest UID that New has given
}

// Received is a message in a mailbox.
type Received struct {
	Arrived time.Time // when the mailbox store took it, to the second
	Size    uint32    // bytes
	Header  pec.Header
	Raw     []byte // the whole message, CRLF line ends; nil if only the header was asked for
}

// imapTimeout bounds one IMAP command, and the time until the next.
const imapTimeout = 5 * time.Minute

// OpenMailbox logs in as a user of the site. The caller closes it.
func (s *Site) OpenMailbox(user string) (*Mailbox, error) {
	c, err := client.DialTLS(address(s.Ports.IMAPS), s.TLS())
	if err != nil {
		return nil, fmt.Errorf("opening mailbox %s: %w", user, err)
	}
	c.Timeout = imapTimeout
	if err := c.Login(user, Password); err != nil {
		return nil, fmt.Errorf("opening mailbox %s: %w", user, err)
	}
	if _, err := c.Select("INBOX", true); err != nil {
		return nil, fmt.Errorf("opening mailbox %s: %w", user, err)
	}
	return &Mailbox{Address: user, client: c}, nil
}

// Close logs out.
func (m *Mailbox) Close() error { return m.client.Logout() }

// New gives the messages that came since the last call, in their order; without
// whole, only their header sections.
func (m *Mailbox) New(whole bool) ([]Received, error) {
	if err := m.client.Noop(); err != nil {
		return nil, fmt.Errorf("looking into mailbox %s: %w", m.Address, err)
	}
	section := &imap.BodySectionName{Peek: true}
	if !whole {
		section.Specifier = imap.HeaderSpecifier
	}
	range_ := new(imap.SeqSet)
	range_.AddRange(m.seen+1, 0) // to the last
	items := []imap.FetchItem{imap.FetchUid, imap.FetchInternalDate, imap.FetchRFC822Size, section.FetchItem()}
	fetched := make(chan *imap.Message)
	done := make(chan error, 1)
	go func() { done <- m.client.UidFetch(range_, items, fetched) }()
	var messages []Received
	var failed error
	for message := range fetched {
		// "n:*" gives the last message even if its UID is below n.
		if message.Uid <= m.seen || failed != nil {
			continue
		}
		received, err := newReceived(message, section, whole)
		messages, failed = append(messages, received), err
		m.seen = message.Uid
	}
	if err := <-done; err != nil {
		return nil, fmt.Errorf("reading mailbox %s: %w", m.Address, err)
	}
	return messages, failed
}

func newReceived(message *imap.Message, section *imap.BodySectionName, whole bool) (Received, error) {
	raw, err := io.ReadAll(message.GetBody(section))
	if err != nil {
		return Received{}, err
	}
	parsed, err := pec.ReadMessage(bytes.NewReader(raw), int64(len(raw)))
	if err != nil {
		return Received{}, err
	}
	received := Received{Arrived: message.InternalDate, Size: message.Size, Header: parsed.Header}
	if whole {
		received.Raw = raw
	}
	return received, nil
}
