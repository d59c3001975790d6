// Package inject hands notices to the MTA through a port that has no filter, so
// that they enter its queue as they are. The port must be reachable from this
// machine only: whoever reaches it sends what he likes.
package inject

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

// Injector is the MTA's injection port. It is safe for concurrent use.
type Injector struct {
	Address string        // host:port
	Name    string        // our name in EHLO
	Timeout time.Duration // for one notice, connecting included; must be positive

	once sync.Once
	mta  *smtpclient.Server
}

// kept is how many connections wait for the next notice: under load the next one
// is there at once, and a connection is work for the MTA too.
const kept = 8

var _ point.Injector = (*Injector)(nil)

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
	mta := i.server()
	_, err := mta.Send(ctx, reversePath, recipient, message)
	if failed := (*smtpclient.Error)(nil); errors.As(err, &failed) && failed.Closed {
		_, err = mta.Send(ctx, reversePath, recipient, message)
	}
	if err != nil {
		return fmt.Errorf("injecting a message for %q: %w", recipient, err)
	}
	return nil
}

// Close ends the connections that wait for a notice.
func (i *Injector) Close() error {
	i.server().Close()
	return nil
}

func (i *Injector) server() *smtpclient.Server {
	i.once.Do(func() {
		i.mta = &smtpclient.Server{Network: "tcp", Address: i.Address, Name: i.Name, Timeout: i.Timeout, Keep: kept}
	})
	return i.mta
}
