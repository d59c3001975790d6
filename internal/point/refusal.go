package point

import (
	"context"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/pec-milter/pec-milter/pec"
)

// refusal is why a submission is not accepted: what non-accettazione says (RFC
// 6109 sections 3.1.2 and 3.1.3).
type refusal struct {
	kind   pec.ErrorKind
	detail string // errore-esteso
	virus  string
}

func eventFor(refused *refusal) EventKind {
	if refused != nil {
		return EventRefused
	}
	return EventAccepted
}

// checkForm is Access step 3: RFC 6109 section 3.1.1. nil means that the message
// conforms.
func (a *Access) checkForm(t *Transaction) (*refusal, error) {
	reasons, err := pec.FormalExceptions(t.Message, t.ReversePath, t.Recipients, a.Limits)
	if err != nil || len(reasons) == 0 {
		return nil, err
	}
	detail := reasons[0]
	if len(reasons) > 1 {
		detail = "\n- " + strings.Join(reasons, "\n- ")
	}
	return &refusal{kind: pec.OtherError, detail: detail}, nil
}

// checkVirus is Access step 4: RFC 6109 section 3.1.3. What could not be scanned
// whole is refused; what is encrypted is common in certified mail, and passes
// with a line in the log.
func (a *Access) checkVirus(ctx context.Context, t *Transaction) (*refusal, error) {
	finding, err := a.scan(ctx, t)
	switch {
	case err != nil:
		return nil, err
	case finding.Virus != "":
		if err := a.quarantine(ctx, AccessDoor, t, "", finding.Virus); err != nil {
			return nil, err
		}
		detail := pec.FailureDetail("5.5.1", a.Identity.Name) + ": " + finding.Virus
		return &refusal{kind: pec.VirusFound, detail: detail, virus: finding.Virus}, nil
	case finding.Limits:
		return &refusal{kind: pec.OtherError, detail: pec.Reason("not-scanned")}, nil
	}
	return nil, nil
}

// scan has the antivirus look at a message. An antivirus that does not answer is
// a temporary failure: nothing passes unscanned.
func (p *Provider) scan(ctx context.Context, t *Transaction) (Finding, error) {
	if p.Scanner == nil {
		return Finding{}, nil
	}
	finding, err := p.Scanner.Scan(ctx, t.Message)
	if err != nil {
		return Finding{}, fmt.Errorf("antivirus: %w", err)
	}
	if finding != (Finding{}) {
		p.Logger.Warn("found by the antivirus", "queue_id", t.QueueID, "sender", t.ReversePath,
			"virus", finding.Virus, "limits", finding.Limits, "encrypted", finding.Encrypted)
	}
	return finding, nil
}

// quarantine keeps an infected message (RFC 6109 section 2.2.4). The same bytes
// again are the same item.
func (p *Provider) quarantine(ctx context.Context, door Door, t *Transaction, id, virus string) error {
	key := hashKey("infected", []byte(t.Message.Header.String()), t.BodyDigest[:])
	return p.Quarantine.Put(ctx, Infected{
		ID: hex.EncodeToString(key[:]), Time: t.Time, Door: door, QueueID: t.QueueID, MessageID: id,
		Reference: pec.MessageID(t.Message.Header), Sender: t.ReversePath, Recipients: t.Recipients, Virus: virus,
	}, t.Message)
}

// refuse ends a refused submission: nobody gets it but the outbox, and from
// there the sender the notice.
func (a *Access) refuse(t *Transaction, attempt *attempt) *Verdict {
	a.Logger.Info("refused", "queue_id", t.QueueID, "id", attempt.Facts.Data.ID, "sender", t.ReversePath,
		"reason", attempt.Facts.Data.Detail)
	owed := []string{a.Secret.outboxAddress(pec.NonAcceptance, attempt.ID)}
	return &Verdict{RemoveRecipients: true, AddRecipients: owed, Sent: a.sent(attempt), Abandoned: attempt.release}
}
