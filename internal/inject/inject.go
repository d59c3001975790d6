// Package inject hands notices to the MTA through a port that has no filter, so
// that they enter its queue as they are. The port must be reachable from this
// machine only: whoever reaches it sends what he likes.
package inject

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/pec-milter/pec-milter/internal/point"
	"github.com/pec-milter/pec-milter/internal/smtpclient"
)

// Injector is the MTA's injection port. It is safe for concurrent use.
type Injector struct{ mta *smtpclient.Server }

var _ point.Injector = (*Injector)(nil)

// New is the port at host:port. name is ours in EHLO; timeout, which must be positive, is
// for one notice, connecting included.
func New(address, name string, timeout time.Duration) *Injector {
	return &Injector{&smtpclient.Server{Network: "tcp", Address: address, Name: name, Timeout: timeout, Keep: smtpclient.Kept}}
}

// Inject gives one message to the MTA; nil means that the MTA's queue has it.
// The reverse path is empty for <>.
//
// The error names the port, the stage, and the MTA's reply. It is never a
// *point.Reply: whatever is wrong here concerns us and not the recipient, and
// may be tried again. Where the MTA ends the connection and does not have the
// message (421, or without a word), it is sent once more over a fresh one: message
// gives the same bytes when it is written again. If the
// connection breaks after the message was sent, the MTA may have taken it: then
// nothing is sent a second time from here.
func (i *Injector) Inject(ctx context.Context, reversePath, recipient string, message io.WriterTo) error {
	_, err := i.mta.Send(ctx, reversePath, recipient, message)
	if failed := (*smtpclient.Error)(nil); errors.As(err, &failed) && failed.Closed {
		_, err = i.mta.Send(ctx, reversePath, recipient, message)
	}
	if err != nil {
		return fmt.Errorf("injecting a message for %q: %w", recipient, err)
	}
	return nil
}

// Close ends the connections that wait for a notice.
func (i *Injector) Close() error {
	i.mta.Close()
	return nil
}
