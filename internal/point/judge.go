package point

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"

	"github.com/pec-milter/pec-milter/pec"
)

// message is what the delivery door knows of a message in the queue.
type message struct {
	Judgement
	signature *pec.Signature // nil: not signed, or not so that it can be read
	data      *pec.CertificationData
	original  *pec.Part
	noticeID  string // Message-ID of a notification
	problem   string // why it is no PEC message; empty if it is one
	unsigned  Key    // names an unsigned message
}

// read reads structure, signature and certification data of a message. What is
// not there stays nil; the error is one of reading the bytes.
func read(t *Transaction) (*message, error) {
	m := &message{noticeID: bareID(t.Message.Header)}
	var err error
	m.signature, err = pec.VerifySignature(t.Message, nil)
	switch {
	case errors.Is(err, pec.ErrNotSigned), errors.Is(err, pec.ErrBadSignature), errors.Is(err, pec.ErrStructure):
		m.unsigned = hashKey("unsigned", []byte(t.ReversePath), []byte(t.Message.Header.String()), t.BodyDigest[:])
		return m, nil
	case err != nil:
		return nil, fmt.Errorf("reading the message: %w", err)
	}
	m.data, m.original, err = pec.Parts(m.signature)
	if err != nil && !errors.Is(err, pec.ErrNoCertificationData) && !errors.Is(err, pec.ErrCertificationData) {
		return nil, fmt.Errorf("reading the certification data: %w", err)
	}
	return m, nil
}

// bareID is the Message-ID without its angle brackets.
func bareID(h pec.Header) string { return strings.Trim(pec.MessageID(h), "<>") }

// judge is Delivery step 2: the digest and signature just read; the trust in
// them is the verdict recorded for that digest. What the MTA itself wrote, or
// what came by a way that has no filter, is no PEC message: it is delivered in
// an anomaly envelope.
func (d *DeliveryPoint) judge(ctx context.Context, t *Transaction, m *message) error {
	if m.signature == nil {
		m.Kind, m.problem = pec.Anomaly, pec.Reason("not-signed")
		return nil
	}
	verdict, err := d.Records.Verdict(ctx, m.signature.Digest, sha256.Sum256(m.signature.Certificate.Raw))
	if errors.Is(err, ErrUnknown) {
		return d.judgeAfresh(ctx, t, m)
	}
	if err != nil {
		return fmt.Errorf("looking for the verdict: %w", err)
	}
	m.Judgement = *verdict
	if m.data == nil && m.Kind != pec.Anomaly {
		return errors.New("a message that was judged good has no certification data")
	}
	return nil
}

// judgeAfresh judges a signed message that has no verdict by the rules of the
// incoming door: the database was restored, or the message came by a way that
// has no filter.
func (d *DeliveryPoint) judgeAfresh(ctx context.Context, t *Transaction, m *message) error {
	mailboxes := *t
	mailboxes.Recipients = d.ours(t.Recipients)
	if len(mailboxes.Recipients) == 0 {
		return nil
	}
	d.Logger.Error("no verdict recorded for a signed message: judging it afresh", "queue_id", t.QueueID,
		"message_id", pec.MessageID(t.Message.Header))
	c, err := d.classify(&mailboxes)
	if err != nil {
		return err
	}
	if !c.Correct() {
		m.Kind, m.problem = pec.Anomaly, strings.Join(c.Problems, "; ")
		return nil
	}
	m.Judgement = judged(c, t.Time)
	if err := d.Records.PutVerdict(ctx, m.Judgement); err != nil {
		return fmt.Errorf("recording the verdict: %w", err)
	}
	return nil
}

// key names one thing to be done once for one recipient of the message: by
// signer, PEC msgid, digest, recipient and event, never by the msgid alone, for
// peers choose theirs (DESIGN: incoming keys).
func (m *message) key(event, recipient string) Key {
	address := []byte(pec.CanonicalAddress(recipient))
	if m.signature == nil {
		return hashKey(event, m.unsigned[:], address)
	}
	certificate := sha256.Sum256(m.signature.Certificate.Raw)
	return hashKey(event, certificate[:], []byte(m.id()), m.signature.Digest[:], address)
}

// id is the PEC msgid; empty where there is none.
func (m *message) id() string {
	if m.data == nil {
		return ""
	}
	return m.data.ID
}

// problemFor is why the message is no PEC message for a recipient; empty if it
// is one.
func (m *message) problemFor(recipient string) string {
	if m.problem == "" && m.Kind == pec.Envelope && !m.owesReceipt(recipient) {
		return pec.Reason("recipient-data")
	}
	return m.problem
}

// owesReceipt: only a correct transport envelope, and only to a recipient that
// its certification data name (RFC 6109 section 3.3.2).
func (m *message) owesReceipt(recipient string) bool {
	return m.Kind == pec.Envelope && m.data != nil && len(addressed([]string{recipient}, m.data)) == 1
}
