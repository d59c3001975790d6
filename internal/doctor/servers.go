package doctor

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"time"
)

// Prober asks an SMTP or LMTP server whether it would take a message, and sends
// none.
type Prober interface {
	Probe(ctx context.Context, reversePath string, recipients ...string) error
}

// Mailboxes tells whether the mailbox store takes mail for the provider's own
// mailboxes.
func Mailboxes(ctx context.Context, store Prober, sender string, recipients ...string) Finding {
	const check = "mailbox"
	if err := store.Probe(ctx, sender, recipients...); err != nil {
		return bad(check, "systemctl restart dovecot, and see that these mailboxes exist: contrib/dovecot",
			"%v: certified mail waits in the queue", err)
	}
	return good(check, "the mailbox store takes mail for %v", recipients)
}

// Inject tells whether the MTA would take a notice at its port without milter.
func Inject(ctx context.Context, mta Prober, sender, recipient string) Finding {
	const check = "inject"
	if err := mta.Probe(ctx, sender, recipient); err != nil {
		return bad(check, "contrib/postfix/pec-milter-postfix.sh apply DOMAIN... && postfix reload", "%v: no notice leaves", err)
	}
	return good(check, "the MTA takes a notice from %s", sender)
}

// startDaemon is the repair of a door that nobody serves.
const startDaemon = "start pec-milter serve again, and read its log"

// DeliveryDoor tells whether our LMTP server answers.
func DeliveryDoor(ctx context.Context, door Prober) Finding {
	const check = "delivery"
	if err := door.Probe(ctx, ""); err != nil {
		return bad(check, startDaemon, "%v: mail waits in the queue", err)
	}
	return good(check, "the door answers")
}

// Socket is the address of a stream socket, as net.Dial wants it.
type Socket struct {
	Network string // "unix" or "tcp"
	Address string // a path, or host:port
}

// String is the socket as Postfix writes it.
func (s Socket) String() string {
	if s.Network == "tcp" {
		return "inet:" + s.Address
	}
	return s.Network + ":" + s.Address
}

// MilterDoor tells whether the milter of a door ("access", "incoming")
// negotiates, as at the start of an MTA's connection.
func MilterDoor(ctx context.Context, check string, door Socket) Finding {
	if err := negotiate(ctx, door); err != nil {
		return bad(check, startDaemon, "%s: %v: mail gets 451", door, err)
	}
	return good(check, "the door answers")
}

// doorTimeout bounds the talk with a milter.
const doorTimeout = 20 * time.Second

// negotiate offers version 6 of the milter protocol with all that there is, and
// wants an offer in return.
func negotiate(ctx context.Context, door Socket) error {
	ctx, cancel := context.WithTimeoutCause(ctx, doorTimeout, fmt.Errorf("no answer within %v", doorTimeout))
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, door.Network, door.Address)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	offer := []byte{0, 0, 0, 13, 'O', 0, 0, 0, 6, 0, 0, 1, 0xFF, 0, 0x1F, 0xFF, 0xFF}
	if _, err := conn.Write(offer); err != nil {
		return err
	}
	answer := make([]byte, len(offer))
	if _, err := io.ReadFull(conn, answer); err != nil {
		if context.Cause(ctx) != nil {
			err = context.Cause(ctx)
		}
		return fmt.Errorf("reading its offer: %w", err)
	}
	if version := binary.BigEndian.Uint32(answer[5:]); answer[4] != 'O' || version < 2 || version > 6 {
		return fmt.Errorf("it is no milter: it answered %q", answer)
	}
	_, _ = conn.Write([]byte{0, 0, 0, 1, 'Q'}) // its offer is what counts
	return nil
}
