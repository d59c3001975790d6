package milter

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	gomilter "github.com/d--j/go-milter"

	"github.com/pec-milter/pec-milter/internal/point"
	"github.com/pec-milter/pec-milter/internal/spool"
	"github.com/pec-milter/pec-milter/pec"
)

// maxFields is the largest number of header fields that is taken. With
// pec.MaxHeader it bounds the memory of one transaction.
const maxFields = 20_000

// transaction is one message on its way in.
type transaction struct {
	point.Transaction
	untouched  bool  // the door wants none of it
	failed     error // what went wrong where no answer could be given
	headerSize int
	shown      time.Time // when the MTA had shown the whole message; zero: not yet
	spool      *spool.Buffer
	working    sync.WaitGroup // doors that still read the spool
}

func newTransaction(c *Config, reversePath string, macros gomilter.Macros) *transaction {
	t := &transaction{spool: spool.New(spool.Options{Room: c.Spool, Max: c.MaxSize})}
	t.Time = c.Clock()
	t.User = macros.Get(gomilter.MacroAuthAuthen)
	t.ReversePath = reversePath
	t.readQueueID(macros)
	return t
}

// readQueueID: Sendmail tells the queue id at MAIL, Postfix at DATA.
func (t *transaction) readQueueID(macros gomilter.Macros) {
	if id := macros.Get(gomilter.MacroQueueId); id != "" {
		t.QueueID = id
	}
}

// addRecipient takes a recipient that the door has accepted.
func (t *transaction) addRecipient(recipient string, handling point.Handling) error {
	untouched := handling == point.Untouched
	if len(t.Recipients) > 0 && untouched != t.untouched {
		return fmt.Errorf("door handles recipient %s otherwise than those before it", recipient)
	}
	t.untouched = untouched
	t.Recipients = append(t.Recipients, recipient)
	return nil
}

// lineEnds makes a header value what it was on the way: the protocol folds with
// LF alone.
var lineEnds = strings.NewReplacer("\r\n", "\r\n", "\n", "\r\n")

// addField takes a header field as the MTA tells it.
func (t *transaction) addField(name, value string) {
	if t.failed != nil {
		return
	}
	field := pec.Field{Name: name, Value: lineEnds.Replace(value)}
	t.headerSize += len(field.Name) + len(":") + len(field.Value) + len("\r\n")
	if t.headerSize > pec.MaxHeader || len(t.Message.Header) == maxFields {
		t.failed = &point.Reply{Code: 552, Status: "5.3.4", Text: "message header is too large"}
		return
	}
	t.Message.Header = append(t.Message.Header, field)
}

// addBody takes the next bytes of the body.
func (t *transaction) addBody(chunk []byte) {
	if t.failed != nil {
		return
	}
	_, err := t.spool.Write(chunk)
	if large := (*spool.TooLargeError)(nil); errors.As(err, &large) {
		err = &point.Reply{Code: 552, Status: "5.3.4",
			Text: fmt.Sprintf("message is too large, the limit is %d bytes", large.Max)}
	}
	t.failed = err
}

// complete closes the message: from here on it is what the door sees. Its one
// time is now, when all of it is there, not when MAIL came (RFC 6109 section
// 4.1): a slow client does not get an earlier date.
func (t *transaction) complete(clock point.Clock) error {
	if t.failed != nil {
		return t.failed
	}
	if len(t.Recipients) == 0 {
		return &point.Reply{Code: 554, Status: "5.5.1", Text: "no valid recipients"}
	}
	t.Time = clock()
	t.Message.Body = t.spool.Body()
	t.BodyDigest = t.spool.Digest()
	return nil
}

// free gives the spool back as soon as no door reads it any more. Its file has
// no name: an error of closing it concerns nobody.
func (t *transaction) free() {
	go func() {
		t.working.Wait()
		t.spool.Close()
	}()
}
