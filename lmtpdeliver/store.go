package lmtpdeliver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/pec-milter/pec-milter/internal/point"
	"github.com/pec-milter/pec-milter/internal/smtpclient"
)

// MailStore is the LMTP service of the server that keeps the mailboxes
// (Dovecot). It is safe for concurrent use.
type MailStore struct{ server *smtpclient.Server }

var _ point.MailStore = (*MailStore)(nil)

// NewMailStore is the service at a socket: network is "unix" or "tcp", address the path
// or host:port. name is ours in LHLO; timeout, which must be positive, is for one message,
// connecting included.
func NewMailStore(network, address, name string, timeout time.Duration) *MailStore {
	return &MailStore{&smtpclient.Server{
		Network: network, Address: address, LMTP: true, Name: name, Timeout: timeout, Keep: smtpclient.Kept,
	}}
}

// Store puts a message into a recipient's mailbox and returns the store's
// reply; Dovecot's carries the id of the session in its log. The reverse path
// is empty for <>.
//
// The error is a *point.Reply, with the store's own words, if the store refused
// this message or this recipient. Any other error is about the connection; if
// it broke after the message was sent, the mailbox may have it.
func (m *MailStore) Store(ctx context.Context, reversePath, recipient string, message io.WriterTo) (receipt string, err error) {
	receipt, err = m.server.Send(ctx, reversePath, recipient, message)
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
	m.server.Close()
	return nil
}
