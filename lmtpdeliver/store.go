package lmtpdeliver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/pec-milter/pec-milter/internal/point"
	"github.com/pec-milter/pec-milter/internal/smtpclient"
)

// MailStore is the LMTP service of the server that keeps the mailboxes
// (Dovecot). It is safe for concurrent use.
type MailStore struct {
	Network string        // "unix" or "tcp"
	Address string        // the path of the socket, or host:port
	Name    string        // our name in LHLO
	Timeout time.Duration // for one message, connecting included; must be positive

	once  sync.Once
	store *smtpclient.Server
}

// kept is how many connections wait for the next message: Dovecot makes a process for
// each connection.
const kept = 8

var _ point.MailStore = (*MailStore)(nil)

// Store puts a message into a recipient's mailbox and returns the store's
// reply; Dovecot's carries the id of the session in its log. The reverse path
// is empty for <>.
//
// The error is a *point.Reply, with the store's own words, if the store refused
// this message or this recipient. Any other error is about the connection; if
// it broke after the message was sent, the mailbox may have it.
func (m *MailStore) Store(ctx context.Context, reversePath, recipient string, message io.WriterTo) (receipt string, err error) {
	receipt, err = m.server().Send(ctx, reversePath, recipient, message)
	if failed := (*smtpclient.Error)(nil); errors.As(err, &failed) && failed.Reply != nil {
		return "", failed.Reply
	}
	if err != nil {
		return "", fmt.Errorf("mailbox store: %w", err)
	}
	return receipt, nil
}

// Close ends the connections that wait for a message.
func (m *MailStore) Close() error {
	m.server().Close()
	return nil
}

func (m *MailStore) server() *smtpclient.Server {
	m.once.Do(func() {
		m.store = &smtpclient.Server{Network: m.Network, Address: m.Address, LMTP: true, Name: m.Name, Timeout: m.Timeout, Keep: kept}
	})
	return m.store
}
