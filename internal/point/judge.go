package point

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"

	"github.com/pec-milter/pec-milter/pec"
)

// message is what the delivery door knows of a message in the queue. Its
// Judgement is the recorded one, or that of an anomaly for what is unsigned.
type message struct {
	Judgement
	signature *pec.Signature // nil: not signed
	data      *pec.CertificationData
	original  *pec.Part
	noticeID  string // Message-ID of a notification
	problem   string // why it is no PEC message; empty if it is one
	unsigned  Key    // names an unsigned message
}

// judge is Delivery step 2: digest and signature again; the trust in it is the
// verdict recorded for that digest.
func (d *DeliveryPoint) judge(ctx context.Context, t *Transaction) (*message, error) {
	root, err := pec.Structure(t.Message)
	var signature *pec.Signature
	if err == nil {
		signature, err = pec.VerifySignature(t.Message, root)
	}
	if err != nil {
		return d.unsigned(t, err)
	}
	verdict, err := d.Records.Verdict(ctx, signature.Digest, sha256.Sum256(signature.Certificate.Raw))
	if errors.Is(err, ErrUnknown) {
		return d.judgeAfresh(ctx, t)
	}
	if err != nil {
		return nil, fmt.Errorf("looking for the verdict: %w", err)
	}
	m := &message{Judgement: *verdict, signature: signature, noticeID: strings.Trim(pec.MessageID(t.Message.Header), "<>")}
	if m.Kind == pec.Anomaly {
		return m, nil
	}
	m.data, m.original, err = pec.Parts(signature)
	if err != nil {
		return nil, fmt.Errorf("reading a message that was judged good: %w", err)
	}
	return m, nil
}

// unsigned is what the MTA itself wrote, or what came by a way that has no
// filter: it is delivered in an anomaly envelope.
func (d *DeliveryPoint) unsigned(t *Transaction, err error) (*message, error) {
	if !errors.Is(err, pec.ErrNotSigned) && !errors.Is(err, pec.ErrBadSignature) && !errors.Is(err, pec.ErrStructure) {
		return nil, fmt.Errorf("reading the message: %w", err)
	}
	return &message{
		Judgement: Judgement{Kind: pec.Anomaly},
		problem:   "il messaggio non e' firmato digitalmente",
		unsigned:  hashKey("unsigned", []byte(t.ReversePath), []byte(t.Message.Header.String()), t.BodyDigest[:]),
	}, nil
}

// judgeAfresh judges a signed message that has no verdict by the rules of the
// incoming door: the database was restored, or the message came by a way that
// has no filter.
func (d *DeliveryPoint) judgeAfresh(ctx context.Context, t *Transaction) (*message, error) {
	d.Logger.Error("no verdict recorded for a signed message: judging it afresh", "queue", t.QueueID,
		"message_id", pec.MessageID(t.Message.Header))
	mailboxes := *t
	mailboxes.Recipients = d.ours(t.Recipients)
	c, err := d.classify(&mailboxes)
	if err != nil {
		return nil, err
	}
	if !c.Correct() {
		m, err := d.unsigned(t, pec.ErrNotSigned)
		if err == nil {
			m.problem = strings.Join(c.Problems, "; ")
		}
		return m, err
	}
	verdict := judged(c, t.Time)
	if err := d.Records.PutVerdict(ctx, verdict); err != nil {
		return nil, fmt.Errorf("recording the verdict: %w", err)
	}
	return &message{
		Judgement: verdict, signature: c.Signature, data: c.Data, original: c.Original,
		noticeID: strings.Trim(pec.MessageID(t.Message.Header), "<>"),
	}, nil
}

// key names one thing to be done once for one recipient of the message: by
// signer, PEC msgid, digest, recipient and event, never by the msgid alone, for
// peers choose theirs (DESIGN: incoming keys).
func (m *message) key(event, recipient string) Key {
	address := []byte(pec.CanonicalAddress(recipient))
	if m.signature == nil {
		return hashKey(event, m.unsigned[:], address)
	}
	return hashKey(event, m.Certificate[:], []byte(m.id()), m.Digest[:], address)
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
		return "il destinatario non corrisponde ai dati di certificazione"
	}
	return m.problem
}

// owesReceipt: only a correct transport envelope, and only to a recipient that
// its certification data name (RFC 6109 section 3.3.2).
func (m *message) owesReceipt(recipient string) bool {
	return m.Kind == pec.Envelope && m.data != nil && len(addressed([]string{recipient}, m.data)) == 1
}
