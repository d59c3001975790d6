package point

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/pec-milter/pec-milter/pec"
)

// Mail is Access step 2: the user is authenticated and owns the reverse path.
// What ordinary users of the same MTA send is not ours. The reply is a *Reply
// 530 or 553; there is never a notice to an address that may be forged.
func (a *Access) Mail(_ context.Context, t *Transaction) (Handling, error) {
	switch {
	case t.User == "":
		return Certify, replyNotAuthenticated
	case t.ReversePath != "" && !a.certified(t.ReversePath):
		return Untouched, nil
	case !a.Accounts.Owns(t.User, t.ReversePath):
		return Certify, replyNotOwner
	}
	return Certify, nil
}

// Recipient takes every recipient but those of the outbox: a certified sender
// may mix certified and ordinary ones.
func (a *Access) Recipient(_ context.Context, _ *Transaction, recipient string) (Handling, error) {
	if isOutbox(recipient) {
		return Certify, replyOutbox
	}
	return Certify, nil
}

// Handle certifies a holder's message: RFC 6109 section 3.1. It has no visible
// effect but its verdict. (Step 1, the transaction and its time, is the
// front end's.)
func (a *Access) Handle(ctx context.Context, t *Transaction) (*Verdict, error) {
	if err := a.ready(); err != nil {
		return nil, err
	}
	// Step 3: formal checks.
	refused, err := a.checkForm(t)
	if err != nil {
		return nil, err
	}
	// Step 4: antivirus.
	if refused == nil {
		if refused, err = a.checkVirus(ctx, t); err != nil {
			return nil, err
		}
	}
	// Step 5: kind of each recipient's domain.
	trust, err := a.Trust.Current()
	if err != nil {
		return nil, fmt.Errorf("providers directory: %w", err)
	}
	recipients := recipientKinds(t.Recipients, trust.Directory)
	// Step 6: intent.
	attempt, err := a.begin(ctx, AccessDoor, t, a.facts(t, recipients, refused), eventFor(refused))
	if err != nil {
		return nil, err
	}
	if attempt == nil {
		a.Logger.Info("repeat of a message in the queue dropped", "queue_id", t.QueueID, "sender", t.ReversePath)
		return &Verdict{Discard: true}, nil
	}
	t.ID = attempt.Facts.Data.ID
	if (attempt.Facts.Data.Error != "") != (refused != nil) {
		attempt.release() // judged otherwise a few minutes ago, and perhaps in the queue so
		return nil, replyInProgress
	}
	if refused != nil {
		return a.refuse(t, attempt), nil
	}
	// Steps 7 and 8: transport envelope, signature.
	envelope, verdict, err := a.envelope(ctx, t, attempt.Intent)
	if err != nil {
		attempt.release()
		return nil, err
	}
	// Step 9: replace, outbox recipients, SENT with the verdict, accept.
	a.Logger.Info("accepted", "queue_id", t.QueueID, "id", attempt.Facts.Data.ID)
	return &Verdict{Replace: envelope, AddRecipients: a.owed(attempt.Intent), Sent: a.sent(attempt, verdict), Abandoned: attempt.release}, nil
}

// recipientKinds is Access step 5: RFC 6109 section 2.2.1.
func recipientKinds(addresses []string, directory pec.Directory) []pec.Recipient {
	var recipients []pec.Recipient
	seen := pec.AddressSet{}
	for _, address := range addresses {
		if !seen.Add(address) {
			continue // named twice in one transaction
		}
		kind := pec.Ordinary
		if directory.ByDomain(pec.Domain(address)) != nil {
			kind = pec.Certified
		}
		recipients = append(recipients, pec.Recipient{Address: address, Kind: kind})
	}
	return recipients
}

// facts are what the notices about the message will say.
func (a *Access) facts(t *Transaction, recipients []pec.Recipient, refused *refusal) func(string, time.Time) Facts {
	return func(id string, at time.Time) Facts {
		h := t.Message.Header
		facts := Facts{
			Data: pec.CertificationData{
				Sender: t.ReversePath, Recipients: recipients, ReplyTo: replyTo(h, t.ReversePath),
				Subject: pec.Subject(h), Provider: a.Identity.Name, Time: at, ID: id,
				Reference: pec.MessageID(h), ReceiptType: pec.RequestedReceipt(h),
			},
			Subject:     pec.SubjectValue(h),
			Recipients:  a.ours(t.Recipients),
			MailReceipt: a.Identity.MailReceipt,
		}
		if refused != nil {
			facts.Data.Error, facts.Data.Detail, facts.Virus = refused.kind, refused.detail, refused.virus
			facts.BodyDigest = t.BodyDigest
		}
		return facts
	}
}

// replyTo is risposte: the addresses of Reply-To, or the sender.
func replyTo(h pec.Header, sender string) string {
	addresses, err := pec.Addresses(h, "Reply-To")
	if err != nil || len(addresses) == 0 {
		return sender
	}
	return strings.Join(addresses, ", ")
}

// ours are the addresses of our certified domains.
func (p *Provider) ours(addresses []string) []string {
	var ours []string
	for _, address := range addresses {
		if p.certified(address) {
			ours = append(ours, address)
		}
	}
	return ours
}

// envelope is Access steps 7 and 8: the transport envelope of RFC 6109 section
// 3.1.5, signed, its signature verified; with the verdict that makes it known as
// our own.
func (a *Access) envelope(ctx context.Context, t *Transaction, intent *Intent) (*pec.Signed, Judgement, error) {
	data := intent.Facts.Data
	by, err := a.issuer(data.ID)
	if err != nil {
		return nil, Judgement{}, err
	}
	draft, err := pec.NewEnvelope(t.Message, data, by)
	if err != nil {
		return nil, Judgement{}, fmt.Errorf("building envelope %s: %w", data.ID, err)
	}
	signed, by, err := a.sign(ctx, draft, by)
	if err != nil {
		return nil, Judgement{}, fmt.Errorf("signing envelope %s: %w", data.ID, err)
	}
	verdict := own(signed, by, pec.Envelope, intent.Time)
	verdict.MailReceipt = a.Identity.MailReceipt
	return signed, verdict, nil
}

// owed are the outbox recipients of an accepted message: the acceptance, and
// where it has recipients of ours the server-server acceptance (all steps are
// done inside one provider too, DM 2-11-2005 art. 6).
func (a *Access) owed(intent *Intent) []string {
	owed := []string{a.Secret.outboxAddress(pec.Acceptance, intent.ID)}
	if len(intent.Facts.Recipients) > 0 {
		owed = append(owed, a.Secret.outboxAddress(pec.ServerAcceptance, intent.ID))
	}
	return owed
}
