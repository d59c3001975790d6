package lmtpdeliver

import (
	"bufio"
	"context"
	"errors"
	"io"

	"github.com/pec-milter/pec-milter/internal/point"
	"github.com/pec-milter/pec-milter/internal/spool"
)

// transaction is one message on its way in.
type transaction struct {
	point.Transaction
	ctx        context.Context // ends when the transaction has taken too long
	cancel     context.CancelFunc
	statusKeys []string // the recipients as go-smtp names them
	spool      *spool.Buffer
}

func (s *Server) newTransaction(reversePath string) *transaction {
	t := &transaction{spool: spool.New(spool.Options{Room: s.config.Spool, Max: s.config.MaxSize})}
	t.ctx, t.cancel = context.WithTimeout(s.base, s.config.Timeout)
	t.ReversePath = reversePath
	return t
}

// read takes the message: its header into memory, its body into the spool.
//
// A line that is no header field ends the header, as in every MTA, and begins
// the body: the message is taken in any case.
func (t *transaction) read(r io.Reader, clock point.Clock) error {
	t.Time = clock()
	in := bufio.NewReaderSize(r, 32<<10)
	section, err := readHeader(in)
	if err != nil {
		return err
	}
	header, rest := splitHeader(section)
	if _, err = t.spool.Write(rest); err == nil {
		_, err = in.WriteTo(t.spool)
	}
	if err != nil {
		if errors.As(err, new(*spool.TooLargeError)) {
			return tooLarge
		}
		return err
	}
	t.Message.Header, t.Message.Body = header, t.spool.Body()
	t.BodyDigest = t.spool.Digest()
	t.QueueID = queueID(header)
	return nil
}

// end frees what the transaction holds. The spool file has no name: an error of
// closing it concerns nobody.
func (t *transaction) end() {
	t.cancel()
	t.spool.Close()
}
