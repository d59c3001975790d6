// Package antivirus asks ClamAV's daemon whether a message carries a virus (RFC
// 6109 sections 3.1.3 and 3.2.3), by the commands INSTREAM and VERSION of
// clamd(8).
//
// It fails closed: whatever is not clearly one of clamd's verdicts is an error.
// It decides nothing about messages that clamd could not scan whole, and it
// tries nothing twice: the MTA's queue does. What clamd must be told for its
// verdicts to be worth something is in contrib/clamav.
package antivirus

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/pec-milter/pec-milter/internal/point"
)

// Sizes in bytes.
const (
	chunkSize = 64 << 10 // of the message: what a scan needs of memory
	maxReply  = 4 << 10
)

// Clamd is ClamAV's daemon. It is safe for concurrent use; each call has a
// connection of its own.
type Clamd struct {
	Network string // "unix" or "tcp"
	Address string // path of the socket, or host:port
	// Timeout is for one scan, connecting included; it must be positive. Below
	// clamd's own MaxScanTime, a message that takes clamd too long is an error
	// where it could be a point.Finding.
	Timeout time.Duration
}

var _ point.Scanner = (*Clamd)(nil)

// Scan has clamd look into a message, which it streams: the memory needed does
// not grow with the message. Every error is temporary.
func (c *Clamd) Scan(ctx context.Context, message io.WriterTo) (point.Finding, error) {
	reply, err := c.ask(ctx, "INSTREAM", message)
	if err != nil {
		return point.Finding{}, fmt.Errorf("scanning with %s: %w", c, err)
	}
	finding, err := parseFinding(reply)
	if err != nil {
		return point.Finding{}, fmt.Errorf("scanning with %s: %w", c, err)
	}
	return finding, nil
}

// Version tells which ClamAV this is, the number of its base of signatures
// ("27500"), and when that was made. Where clamd has no official base, base is
// empty and date is zero. clamd gives the date in its own local time and does
// not say which: it is taken for UTC, and may be half a day off.
func (c *Clamd) Version(ctx context.Context) (engine, base string, date time.Time, err error) {
	reply, err := c.ask(ctx, "VERSION", nil)
	if err == nil {
		engine, base, date, err = parseVersion(reply)
	}
	if err != nil {
		return "", "", time.Time{}, fmt.Errorf("version of %s: %w", c, err)
	}
	return engine, base, date, nil
}

// String names the daemon in errors.
func (c *Clamd) String() string { return "clamd at " + c.Network + ":" + c.Address }

// ask sends a command, with the message that belongs to it or nil, and gives
// the whole reply.
func (c *Clamd) ask(ctx context.Context, command string, message io.WriterTo) (string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, c.Timeout, fmt.Errorf("not done within %v", c.Timeout))
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, c.Network, c.Address)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	reply, err := converse(conn, command, message)
	if err != nil && context.Cause(ctx) != nil {
		err = context.Cause(ctx)
	}
	return reply, err
}

// converse holds one conversation. clamd may hang up while we are still
// sending, and say why; whatever it says then is no verdict on the message.
func converse(conn net.Conn, command string, message io.WriterTo) (string, error) {
	sendErr := send(conn, command, message)
	var hungUp *net.OpError
	if sendErr != nil && !errors.As(sendErr, &hungUp) {
		return "", fmt.Errorf("reading the message: %w", sendErr)
	}
	reply, err := io.ReadAll(io.LimitReader(conn, maxReply))
	switch {
	case sendErr != nil && len(reply) > 0:
		return "", fmt.Errorf("hung up before it had the message: %w", noVerdict(string(reply)))
	case sendErr != nil:
		return "", sendErr
	case err != nil:
		return "", fmt.Errorf("reading the reply: %w", err)
	}
	return string(reply), nil
}

// send sends a command and streams the message, if there is one.
func send(conn io.Writer, command string, message io.WriterTo) error {
	if _, err := io.WriteString(conn, "z"+command+"\x00"); err != nil || message == nil {
		return err
	}
	stream := bufio.NewWriterSize(chunks{conn}, chunkSize)
	if _, err := message.WriteTo(stream); err != nil {
		return err
	}
	if err := stream.Flush(); err != nil {
		return err
	}
	_, err := conn.Write(make([]byte, 4)) // the end: a chunk of no length
	return err
}

// chunks sends each write with its length before it. None may be empty, which
// would end the stream: the bufio.Writer before it makes none.
type chunks struct{ conn io.Writer }

func (c chunks) Write(p []byte) (int, error) {
	chunk := net.Buffers{binary.BigEndian.AppendUint32(nil, uint32(len(p))), p}
	n, err := chunk.WriteTo(c.conn)
	return max(0, int(n)-4), err
}
